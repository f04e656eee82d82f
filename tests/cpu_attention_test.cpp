// Attention on the CPU against a plain one in double, over sizes, strides, masks and biases, in every type and on every
// instruction set that the machine has; its gradients against central differences; its bits for one and for two threads.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include <framegrad/cpu/attention.hpp>

namespace {

using namespace fg;
using cpu::AttentionBias;
using cpu::AttentionMask;
using cpu::AttentionShape;
using cpu::AttentionView;

/// Which axes a bias or mask has of its own: outer, inner, head, query, key. With none, there is no bias.
struct Own {
  bool outer, inner, head, query, key;
  bool any() const { return outer || inner || head || query || key; }
};

struct Case {
  Index outer, inner, heads, queries, keys, head_dim;
  Own bias{}, seen{};
  bool lengths = false;
};

template <class T>
std::vector<T> cast(const std::vector<double>& x) {
  return std::vector<T>(x.begin(), x.end());
}

/// Inputs in double, rounded to what T can hold, with rows in the order [outer, position, inner, heads, head_dim + 3].
struct Inputs {
  Case c{};
  Index gap = 3;
  std::vector<double> q{}, k{}, v{}, g{}, bias{};
  std::vector<std::uint8_t> seen{};
  std::vector<std::int32_t> lengths{};
  double scale = 1;

  template <class T>
  static Inputs make(const Case& c, unsigned seed, T) {
    Inputs in{c};
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<double>& x, Index n) {
      x.resize(std::size_t(n));
      for (double& e : x) e = double(T(normal(random)));
    };
    const Index rows = c.outer * c.inner * c.heads * (c.head_dim + in.gap);
    fill(in.q, rows * c.queries), fill(in.g, rows * c.queries), fill(in.k, rows * c.keys), fill(in.v, rows * c.keys);
    if (c.bias.any()) fill(in.bias, in.size_of(c.bias));
    if (c.seen.any()) {
      in.seen.resize(std::size_t(in.size_of(c.seen)));
      for (auto& e : in.seen) e = random() % 3 != 0;
      for (Index i = 0; c.seen.query && c.seen.key && i < c.keys; ++i) in.seen[std::size_t(i)] = 0;  // the first query sees nothing
    }
    if (c.lengths) {
      for (Index o = 0; o < c.outer; ++o) in.lengths.push_back(o == 1 ? 0 : std::int32_t(c.keys - 1 - o));
    }
    in.scale = 1 / std::sqrt(double(c.head_dim));
    return in;
  }
  Index size_of(const Own& o) const {
    return (o.outer ? c.outer : 1) * (o.inner ? c.inner : 1) * (o.head ? c.heads : 1) * (o.query ? c.queries : 1) * (o.key ? c.keys : 1);
  }
  template <class S> S strided(S s, const Own& o) const {
    Index n = 1;
    s.key = o.key ? n : 0, n *= o.key ? c.keys : 1;
    s.query = o.query ? n : 0, n *= o.query ? c.queries : 1;
    s.head = o.head ? n : 0, n *= o.head ? c.heads : 1;
    s.inner = o.inner ? n : 0, n *= o.inner ? c.inner : 1;
    s.outer = o.outer ? n : 0;
    return s;
  }
  template <class T> AttentionView<T> view(T* data, Index positions) const {
    const Index d = c.head_dim + gap;
    return {data, positions * c.inner * c.heads * d, c.heads * d, d, c.inner * c.heads * d};
  }
  AttentionShape shape() const { return {c.outer, c.inner, c.heads, c.queries, c.keys, c.head_dim, scale}; }
  AttentionMask mask() const {
    AttentionMask m;
    if (!lengths.empty()) m.key_lengths = lengths.data();
    if (!seen.empty()) m = strided(AttentionMask{m.key_lengths, seen.data()}, c.seen);
    return m;
  }
};

struct Results {
  std::vector<double> out, lse, dq, dk, dv, dbias;
};

/// The equations, one number after the other.
Results plain(const Inputs& in) {
  const Case& c = in.c;
  Results r;
  r.out.assign(in.q.size(), 0), r.dq = r.out, r.dk.assign(in.k.size(), 0), r.dv = r.dk, r.dbias.assign(in.bias.size(), 0);
  const auto qv = in.view(in.q.data(), c.queries), kv = in.view(in.k.data(), c.keys);
  const auto mask = in.mask();
  const auto bias = in.strided(AttentionBias<const double>{in.bias.data()}, c.bias);
  for (Index o = 0; o < c.outer; ++o) for (Index n = 0; n < c.inner; ++n) for (Index h = 0; h < c.heads; ++h) for (Index i = 0; i < c.queries; ++i) {
    const auto at_query = std::size_t(o * qv.outer + n * qv.inner + h * qv.head + i * qv.row);
    const auto at_key = [&](Index j) { return std::size_t(o * kv.outer + n * kv.inner + h * kv.head + j * kv.row); };
    const auto at = [&](const auto& m, Index j) { return std::size_t(o * m.outer + n * m.inner + h * m.head + i * m.query + j * m.key); };
    std::vector<double> p(std::size_t(c.keys), 0.0);
    double sum = 0, top = -1e300;
    std::vector<std::size_t> seen;
    for (Index j = 0; j < c.keys; ++j) {
      if ((mask.key_lengths && j >= mask.key_lengths[o]) || (mask.seen && !mask.seen[at(mask, j)])) continue;
      double s = in.bias.empty() ? 0 : in.bias[at(bias, j)];
      for (std::size_t d = 0; d < std::size_t(c.head_dim); ++d) s += in.scale * in.q[at_query + d] * in.k[at_key(j) + d];
      p[std::size_t(j)] = s, top = std::max(top, s);
      seen.push_back(std::size_t(j));
    }
    for (const std::size_t j : seen) sum += p[j] = std::exp(p[j] - top);
    r.lse.push_back(seen.empty() ? -INFINITY : top + std::log(sum));
    double delta = 0;
    std::vector<double> dp(p.size());
    for (Index j = 0; j < c.keys; ++j) {
      p[std::size_t(j)] /= sum > 0 ? sum : 1;
      for (std::size_t d = 0; d < std::size_t(c.head_dim); ++d) {
        r.out[at_query + d] += p[std::size_t(j)] * in.v[at_key(j) + d];
        r.dv[at_key(j) + d] += p[std::size_t(j)] * in.g[at_query + d];
        dp[std::size_t(j)] += in.g[at_query + d] * in.v[at_key(j) + d];
      }
      delta += p[std::size_t(j)] * dp[std::size_t(j)];
    }
    for (Index j = 0; j < c.keys; ++j) {
      const double ds = p[std::size_t(j)] * (dp[std::size_t(j)] - delta);
      if (!in.bias.empty()) r.dbias[at(bias, j)] += ds;
      for (std::size_t d = 0; d < std::size_t(c.head_dim); ++d) {
        r.dq[at_query + d] += in.scale * ds * in.k[at_key(j) + d];
        r.dk[at_key(j) + d] += in.scale * ds * in.q[at_query + d];
      }
    }
  }
  return r;
}

template <class T>
std::vector<double> widened(const std::vector<T>& x) {
  std::vector<double> y;
  for (const T& e : x) y.push_back(double(e));
  return y;
}

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
      {1, 1, 1, 290, 310, 33, kNone, kKeyOnly}};             // more than a block of the tiles' in both
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

TYPED_TEST(CpuAttention, SameBitsForAnyThreadsAndAnySubsetOfGradients) {
  using T = TypeParam;
  const int before = threads();
  for (const Case& c : cases()) {
    const Inputs in = Inputs::make(c, 5, T{});
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
