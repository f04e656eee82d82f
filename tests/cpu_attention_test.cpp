// Attention on the CPU against a plain one in double, over sizes, strides, masks and biases, in every type and on every
// instruction set that the machine has; its gradients against central differences; its bits for one and for two threads.
#include <gtest/gtest.h>

#include "plain_attention.hpp"

namespace {

using namespace fg;
using namespace fg::test;

enum class Wanted { all, only_dq, only_dkv };

template <class T>
Results attention(const Inputs& in, Wanted wanted = Wanted::all) {
  const Case& c = in.c;
  const auto q = cast<T>(in.q), k = cast<T>(in.k), v = cast<T>(in.v), g = cast<T>(in.g), b = cast<T>(in.bias);
  std::vector<T> out(q.size(), T(0)), dq = out, dk(k.size(), T(0)), dv = dk, db(b.size(), T(-7));
  for (auto* x : {&out, &dq, &dk, &dv}) {  // every number of a row must be written, none between the rows
    for (std::size_t i = 0; i < x->size(); ++i) {
      if (Index(i) % (c.head_dim + in.gap) < c.head_dim) (*x)[i] = T(-7);
    }
  }
  std::vector<accum_t<T>> lse(std::size_t(c.outer * c.inner * c.heads * c.queries));
  const auto bias = in.strided(AttentionBias<const T>{b.empty() ? nullptr : b.data()}, c.bias);
  const auto qv = in.view(q.data(), c.queries), gv = in.view(g.data(), c.queries);
  const auto kv = in.view(k.data(), c.keys), vv = in.view(v.data(), c.keys);
  const auto ov = in.view(out.data(), c.queries);
  cpu::attention_forward<T>(in.shape(), in.mask(), bias, qv, kv, vv, ov, lse.data());
  auto dqv = in.view(dq.data(), c.queries), dkv = in.view(dk.data(), c.keys), dvv = in.view(dv.data(), c.keys);
  if (wanted == Wanted::only_dq) dkv.data = dvv.data = nullptr;
  if (wanted == Wanted::only_dkv) dqv.data = nullptr;
  cpu::attention_backward<T>(in.shape(), in.mask(), bias, qv, kv, vv, in.view<const T>(out.data(), c.queries), lse.data(), gv, dqv, dkv, dvv,
                             b.empty() ? nullptr : db.data());
  return {widened(out), widened(lse), widened(dq), widened(dk), widened(dv), widened(db)};
}

/// Largest |a − b| in units of the root mean square of b, or of `least` where that is more.
double error(const std::vector<double>& a, const std::vector<double>& b, double least = 0.1) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0, square = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (std::isinf(b[i]) && a[i] == b[i]) continue;
    if (!(std::abs(a[i] - b[i]) <= worst)) worst = std::abs(a[i] - b[i]);
    square += b[i] * b[i];
  }
  return b.empty() ? worst : worst / std::max(least, std::sqrt(square / double(b.size())));
}

constexpr Own kNone{}, kKeyOnly{false, false, false, false, true}, kHeadSquare{false, false, true, true, true}, kQueryOnly{false, false, true, true, false},
    kAll{true, true, true, true, true}, kSquare{false, false, false, true, true};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {1, 1, 1, 1, 1, 1},                                    // the smallest
      {2, 3, 2, 16, 16, 72},                                 // temporal
      {1, 5, 3, 7, 5, 16},                                   // shorter than a vector
      {1, 2, 2, 33, 130, 20},                                // one more than a panel, two more than a block of keys
      {3, 1, 2, 67, 119, 40, kNone, kNone, true},            // cross attention: lengths, one of them 0
      {2, 2, 1, 65, 257, 256},                               // the widest head
      {3, 2, 2, 70, 131, 24, kHeadSquare, kNone, true},      // bias over heads, summed over both batch axes
      {2, 2, 2, 17, 140, 8, kKeyOnly},                       // bias over keys, summed over the queries too
      {2, 1, 2, 66, 9, 8, kQueryOnly},
      {2, 2, 2, 70, 40, 33, kAll, kSquare},                  // bias and mask; a query that sees nothing
      {2, 1, 3, 129, 200, 17, kNone, kKeyOnly},
      {1, 2, 1, 40, 30, 7, kSquare, kAll},
      {1, 1, 1, 290, 310, 33, kNone, kKeyOnly},              // more than a block of the tiles' in both
      {2, 2, 3, 8, 8, 32}, {1, 2, 2, 3, 2, 16},              // few keys, read as rows: half a vector, and less than a group
      {3, 2, 2, 35, 13, 72, kNone, kSquare, true},           // lengths, and a mask that all sequences share
      {2, 2, 3, 65, 64, 127, kHeadSquare},                   // the most keys, and the last vector nearly a whole one further
      {2, 1, 2, 256, 17, 16, kKeyOnly, kQueryOnly},          // the most queries
      {2, 3, 1, 17, 31, 24, kNone, kAll},
      {2, 3, 1, 17, 31, 38, kSquare, kAll}, {1, 2, 3, 31, 64, 34}, {2, 2, 2, 19, 3, 40, kSquare}, {1, 2, 2, 256, 31, 56},  // by pairs
      {3, 2, 2, 35, 13, 128, kKeyOnly, kSquare, true}, {2, 1, 2, 129, 9, 96, kHeadSquare}, {1, 3, 2, 7, 23, 48},
      {1, 1, 1, 530, 530, 8, kNone, kSquare}};               // three blocks of the tiles' in both
  return all;
}

struct OnIsa {
  cpu::Isa before = cpu::isa();
  explicit OnIsa(cpu::Isa isa) { cpu::set_isa(isa); }
  ~OnIsa() { cpu::set_isa(before); }
};

template <class T> class CpuAttention : public ::testing::Test {};
struct TypeName {
  template <class T> static std::string GetName(int) { return std::string(name_of(dtype_of<T>)); }
};
using Types = ::testing::Types<float, double, bf16, half>;
TYPED_TEST_SUITE(CpuAttention, Types, TypeName);

TYPED_TEST(CpuAttention, EqualsThePlainOneOnEveryInstructionSet) {
  using T = TypeParam;
  const double ulp = double(std::numeric_limits<T>::epsilon());
  for (int isa = 0; isa < cpu::kIsas; ++isa) {
    if (!cpu::supported(cpu::Isa(isa))) continue;
    const OnIsa on{cpu::Isa(isa)};
    for (const Case& c : cases()) {
      const Inputs in = Inputs::make(c, 11, T{});
      const Results want = plain(in), got = attention<T>(in);
      // Storing bf16 and half costs half an ulp of the largest numbers, some five times the root mean square, and δ is taken
      // from rounded outputs; f32 and f64 err by the length of their sums.
      const double tolerance = ulp * (sizeof(T) == 2 ? 8 : 24 * std::sqrt(double(std::max({c.queries, c.keys, c.head_dim}))));
      SCOPED_TRACE(text(name_of(cpu::Isa(isa)), ": ", c.outer, "x", c.inner, "x", c.heads, " ", c.queries, "x", c.keys, "x", c.head_dim));
      EXPECT_LE(error(got.out, want.out), tolerance);
      EXPECT_LE(error(got.lse, want.lse), tolerance);
      EXPECT_LE(error(got.dq, want.dq), tolerance);
      EXPECT_LE(error(got.dk, want.dk), tolerance);
      EXPECT_LE(error(got.dv, want.dv), tolerance);
      EXPECT_LE(error(got.dbias, want.dbias, c.bias.key ? 0.1 : 1), tolerance);  // a bias that all keys share has none
    }
  }
}

/// Each frame of `frame` positions sees itself and those before it: some blocks see all, some nothing.
void see_earlier_frames(Inputs& in, Index frame) {
  for (Index q = 0; q < in.c.queries; ++q)
    for (Index k = 0; k < in.c.keys; ++k) in.seen[std::size_t(q * in.c.keys + k)] = k / frame <= q / frame;
}

TYPED_TEST(CpuAttention, EqualsThePlainOneWhereBlocksSeeNothingAndWhereScoresGrow) {
  using T = TypeParam;
  const double ulp = double(std::numeric_limits<T>::epsilon());
  for (int isa = 0; isa < cpu::kIsas; ++isa) {
    if (!cpu::supported(cpu::Isa(isa))) continue;
    const OnIsa on{cpu::Isa(isa)};
    for (const bool frames : {true, false}) {
      Inputs in = Inputs::make(Case{1, 1, 2, 530, 560, 16, kNone, frames ? kSquare : kNone}, 7, T{});
      if (frames) see_earlier_frames(in, 66);
      else  // by some, and by much, from block to block of keys
        for (std::size_t i = 0; i < in.k.size(); ++i) in.k[i] = double(T(in.k[i] * (1 + 4 * double(i) / double(in.k.size()))));
      const Results want = plain(in), got = attention<T>(in);
      SCOPED_TRACE(text(name_of(cpu::Isa(isa)), frames ? ": frames" : ": growing"));
      const double tolerance = ulp * (sizeof(T) == 2 ? 12 : 24 * std::sqrt(560.0));  // where scores grow, the largest gradients are eight times the root mean square
      for (const auto& [a, b] : {std::pair(&got.out, &want.out), {&got.lse, &want.lse}, {&got.dq, &want.dq}, {&got.dk, &want.dk}, {&got.dv, &want.dv}}) EXPECT_LE(error(*a, *b), tolerance);
    }
  }
}

TYPED_TEST(CpuAttention, SameBitsForAnyThreadsAndAnySubsetOfGradients) {
  using T = TypeParam;
  const int before = threads();
  for (const Case& c : cases()) {
    Inputs in = Inputs::make(c, 5, T{});
    if (c.queries == c.keys && c.seen.query && c.seen.key) see_earlier_frames(in, 65);
    set_threads(1);
    const Results one = attention<T>(in);
    for (const int n : {2, 5}) {  // with five, few sequences are cut into blocks
      set_threads(n);
      const Results many = attention<T>(in);
      EXPECT_EQ(one.out, many.out);
      EXPECT_EQ(one.lse, many.lse);
      EXPECT_EQ(one.dq, many.dq);
      EXPECT_EQ(one.dk, many.dk);
      EXPECT_EQ(one.dv, many.dv);
      EXPECT_EQ(one.dbias, many.dbias);
    }
    EXPECT_EQ(one.dq, attention<T>(in, Wanted::only_dq).dq);
    const Results keys = attention<T>(in, Wanted::only_dkv);
    EXPECT_EQ(one.dk, keys.dk);
    EXPECT_EQ(one.dv, keys.dv);
  }
  set_threads(before);
}

TEST(CpuAttentionGradient, EqualsCentralDifferences) {
  for (const Case& c : {Case{2, 1, 2, 5, 7, 6, kHeadSquare, kNone, true}, Case{1, 2, 1, 4, 6, 9, kKeyOnly, kSquare}}) {
    Inputs in = Inputs::make(c, 3, double{});
    const Results r = attention<double>(in);
    const auto value = [&] {
      const auto out = attention<double>(in).out;
      double sum = 0;
      for (std::size_t i = 0; i < out.size(); ++i) sum += Index(i) % (c.head_dim + in.gap) < c.head_dim ? out[i] * in.g[i] : 0;
      return sum;
    };
    const auto check = [&](std::vector<double>& x, const std::vector<double>& gradient) {
      std::vector<double> difference(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double kept = x[i], step = 1e-5;
        x[i] = kept + step;
        const double above = value();
        x[i] = kept - step;
        difference[i] = (above - value()) / (2 * step);
        x[i] = kept;
      }
      EXPECT_LE(error(gradient, difference), 1e-6);  // the step's square, and 1e-16 over the step
    };
    check(in.q, r.dq), check(in.k, r.dk), check(in.v, r.dv), check(in.bias, r.dbias);
  }
}

TEST(CpuAttentionLong, KeysTooManyToBePackedAtOnce) {
  const Case c{1, 1, 1, 5, 2070, 512};
  ASSERT_GT(2 * c.keys * c.head_dim * Index(sizeof(float)), cpu::attention::kWholeBytes);
  const Inputs in = Inputs::make(c, 2, float{});
  const Results want = plain(in), got = attention<float>(in);
  EXPECT_LE(error(got.out, want.out), 24 * std::sqrt(2070.0) * double(std::numeric_limits<float>::epsilon()));
}

TEST(CpuAttentionRange, NegativeScale) {
  for (const Case& c : {Case{1, 1, 2, 70, 140, 24}, Case{1, 1, 2, 70, 140, 24, kHeadSquare, kSquare}}) {
    Inputs in = Inputs::make(c, 4, bf16{});
    in.scale = -in.scale;
    const Results want = plain(in), got = attention<bf16>(in);
    const double tolerance = 8 * double(std::numeric_limits<bf16>::epsilon());
    EXPECT_LE(error(got.out, want.out), tolerance);
    EXPECT_LE(error(got.dk, want.dk), tolerance);
  }
}

TEST(CpuAttentionRange, LargeScoresStayFinite) {
  Inputs in = Inputs::make(Case{1, 1, 1, 70, 300, 16}, 1, float{});
  for (double& e : in.q) e = float(e * 200);
  const Results want = plain(in), got = attention<float>(in);
  EXPECT_LE(error(got.out, want.out), 1e-3);  // scores near 1000 have an ulp of 6e-5, and e^s takes it over
}

TEST(CpuAttentionRange, NanSpreadsToItsQueryAlone) {
  Inputs in = Inputs::make(Case{1, 1, 1, 20, 30, 16}, 1, float{});
  in.q[3 * 19 + 2] = std::nan("");
  const auto out = attention<float>(in).out;
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i / 19 == 3 && i % 19 < 16) << i;
}

TEST(CpuAttentionEmpty, NoKeysGiveZeros) {
  for (const Case& c : {Case{1, 1, 2, 5, 0, 8}, Case{1, 1, 2, 0, 5, 8}}) {
    const Inputs in = Inputs::make(c, 1, float{});
    const Results r = attention<float>(in);
    for (const auto* x : {&r.out, &r.dq, &r.dk, &r.dv}) {
      for (const double e : *x) EXPECT_EQ(e, 0);
    }
  }
}

}  // namespace
