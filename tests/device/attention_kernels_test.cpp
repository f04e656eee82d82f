// attention's kernels by their launchers, at sizes that the op's cases are too small for: every head_dim, several tiles with tails, and planes that repeat
// over each of their axes. Against plain loops in double. (Strided rows are the cases' business.)
//
// Rounding that is granted: with T's epsilon ε, a product of tensor cores rounds its left side (probabilities, and their gradients) to T, and the
// result is rounded once: 2·ε/2 of the sum of the terms' magnitudes, where a factor below half's normal numbers counts as the least of those, and a
// result may be half's least number off. f32 sums add 2^-24 a term; 32 of those are granted, since they cancel.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <framegrad/core/backend.hpp>
#include <framegrad/core/dtype.hpp>
#include <framegrad/cuda/attention.hpp>

namespace fg {
namespace {

/// Memory of the device, with a copy here.
template <class T>
class Array {
 public:
  explicit Array(Index n, T value = T(std::nanf(""))) : host(std::size_t(n), value), bytes_(n * Index(sizeof(T)) + 16), p_(static_cast<T*>(cuda::allocate(bytes_, 0))) { push(); }
  ~Array() { cuda::release(p_, bytes_, 0); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  void push() { cuda::copy_to_device(p_, host.data(), Index(host.size() * sizeof(T))); }
  void pull() { cuda::copy_to_host(host.data(), p_, Index(host.size() * sizeof(T))); }
  T* data() const { return p_; }

  std::vector<T> host;

 private:
  Index bytes_;
  T* p_;
};

enum class Plane { none, whole, heads, keys, queries };  // what a bias or mask has of its own: all; head, query, key; key; outer and query

struct Problem {
  Index A, B, heads, N, M, d;
  bool lengths = false;
  Plane bias = Plane::none, mask = Plane::none;
};

/// Strides of [A, B, heads, rows, columns] where a plane has an axis, and how many numbers it has.
struct PlaneStrides {
  Index outer = 0, inner = 0, head = 0, query = 0, key = 0, count = 1;
  PlaneStrides(const Problem& p, Plane plane) {
    const bool all = plane == Plane::whole;
    const auto axis = [&](bool own, Index size, Index& stride) {
      if (own && size > 1) stride = count, count *= size;
    };
    axis(all || plane == Plane::heads || plane == Plane::keys, p.M, key);
    axis(all || plane == Plane::heads || plane == Plane::queries, p.N, query);
    axis(all || plane == Plane::heads, p.heads, head);
    axis(all, p.B, inner);
    axis(all || plane == Plane::queries, p.A, outer);
  }
  Index at(Index a, Index b, Index h, Index n, Index m) const { return a * outer + b * inner + h * head + n * query + m * key; }
};

template <class T>
cuda::AttentionRows<T> rows_of(const Problem& p, Array<std::remove_const_t<T>>& x, Index positions) {
  const Index width = p.heads * p.d;
  return {x.data(), p.B * positions * width, positions * width, p.d, width};
}

/// A result and the sum of its terms' magnitudes.
struct Sum {
  double value = 0, size = 0;
  void add(double v, double s) { value += v, size += s; }
};

template <class T>
void check(const Problem& p) {
  SCOPED_TRACE(text("heads of ", p.d, ", ", p.N, " queries, ", p.M, " keys, ", p.A, "×", p.B, "×", p.heads, " sequences, ", name_of(dtype_of<T>), p.lengths ? ", lengths" : "",
                    ", bias ", int(p.bias), ", mask ", int(p.mask)));
  std::mt19937 random(7);
  const auto fill = [&](Array<T>& x) {
    std::uniform_real_distribution<float> u(-2, 2);
    for (T& v : x.host) v = T(u(random));
    x.push();
  };
  const Index width = p.heads * p.d, count_q = p.A * p.B * p.N * width, count_k = p.A * p.B * p.M * width;
  Array<T> q(count_q), k(count_k), v(count_k), g(count_q), y(count_q);
  fill(q), fill(k), fill(v), fill(g);
  Array<T> dq(Index(q.host.size())), dk(Index(k.host.size())), dv(Index(v.host.size()));
  Array<float> lse(p.A * p.B * p.heads * p.N);

  const PlaneStrides bs(p, p.bias), ms(p, p.mask);
  Array<T> bias(bs.count), dbias(bs.count);
  fill(bias);
  Array<std::uint8_t> seen(ms.count, 1);
  for (auto& s : seen.host) s = random() % 3 != 0;
  seen.push();
  Array<std::int32_t> lengths(p.A, 0);
  for (Index a = 0; a < p.A; ++a) lengths.host[std::size_t(a)] = std::int32_t(a == 0 ? p.M - 1 : random() % std::uint64_t(p.M + 1));
  if (p.A > 1) lengths.host[1] = 0;
  lengths.push();

  cuda::AttentionInputs<T> in{p.A, p.B, p.heads, p.N, p.M, p.d, 1 / std::sqrt(float(p.d)), rows_of<const T>(p, q, p.N), rows_of<const T>(p, k, p.M), rows_of<const T>(p, v, p.M),
                              p.lengths ? lengths.data() : nullptr, {}, {}};
  if (p.bias != Plane::none) in.bias = {bias.data(), bs.outer, bs.inner, bs.head, bs.query, bs.key};
  if (p.mask != Plane::none) in.seen = {seen.data(), ms.outer, ms.inner, ms.head, ms.query, ms.key};
  cuda::AttentionGradients<T> d{rows_of<T>(p, dq, p.N), rows_of<T>(p, dk, p.M), rows_of<T>(p, dv, p.M), {}};
  if (p.bias != Plane::none) d.bias = {dbias.data(), bs.outer, bs.inner, bs.head, bs.query, bs.key};
  const auto out = rows_of<T>(p, y, p.N);
  const auto up = rows_of<const T>(p, g, p.N);
  cuda::AttentionKernels<T>::forward(in, out, lse.data());
  cuda::AttentionKernels<T>::backward(in, {out.data, out.outer, out.inner, out.head, out.row}, lse.data(), up, d);
  y.pull(), lse.pull(), dq.pull(), dk.pull(), dv.pull(), dbias.pull();
  const std::vector<T> first_q = dq.host, first_k = dk.host, first_bias = dbias.host;
  cuda::AttentionKernels<T>::backward(in, {out.data, out.outer, out.inner, out.head, out.row}, lse.data(), up, d);
  dq.pull(), dk.pull(), dbias.pull();
  const auto same = [](const std::vector<T>& a, const std::vector<T>& b) { return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0; };
  EXPECT_TRUE(same(first_q, dq.host) && same(first_k, dk.host) && same(first_bias, dbias.host)) << "two runs differ";

  const double eps = double(float(std::numeric_limits<T>::epsilon())), f32 = 32 * 0x1p-24;
  const double granted = (sizeof(T) == 2 ? eps : 0) + f32, least = std::is_same_v<T, half> ? 0x1p-24 : 1e-12;
  const auto rounded = [](double size) { return std::is_same_v<T, half> ? std::max(size, 0x1p-14) : size; };
  std::vector<Sum> sum_bias(static_cast<std::size_t>(bs.count));
  const auto expect = [&](const char* what, double got, const Sum& s) {
    ASSERT_LE(std::abs(got - s.value), granted * s.size + least) << what << ": " << got << ", expected " << s.value;
  };
  for (Index a = 0; a < p.A; ++a)
    for (Index b = 0; b < p.B; ++b)
      for (Index h = 0; h < p.heads; ++h) {
        const auto at = [&](const auto& r, const Array<T>& x, Index row, Index c) { return double(float(x.host[std::size_t(r.data - x.data() + a * r.outer + b * r.inner + h * r.head + row * r.row + c)])); };
        std::vector<Sum> sum_k(std::size_t(p.M * p.d)), sum_v(std::size_t(p.M * p.d));
        for (Index n = 0; n < p.N; ++n) {
          std::vector<double> prob(std::size_t(p.M), 0.0);
          double top = -INFINITY, total = 0;
          for (Index m = 0; m < p.M; ++m) {
            double s = -INFINITY;
            if ((!p.lengths || m < lengths.host[std::size_t(a)]) && (p.mask == Plane::none || seen.host[std::size_t(ms.at(a, b, h, n, m))])) {
              s = 0;
              for (Index c = 0; c < p.d; ++c) s += at(in.q, q, n, c) * at(in.k, k, m, c);
              s = s * double(in.scale) + (p.bias == Plane::none ? 0.0 : double(float(bias.host[std::size_t(bs.at(a, b, h, n, m))])));
            }
            prob[std::size_t(m)] = s, top = std::max(top, s);
          }
          for (double& s : prob) s = top == -INFINITY ? 0 : std::exp(s - top), total += s;
          for (double& s : prob) s = total == 0 ? 0 : s / total;
          const double sum = double(lse.host[std::size_t(((a * p.B + b) * p.heads + h) * p.N + n)]);
          if (total == 0) EXPECT_EQ(sum, -INFINITY);
          else EXPECT_NEAR(sum, top + std::log(total), 1e-4);

          Sum delta;
          for (Index c = 0; c < p.d; ++c) {
            Sum s;
            for (Index m = 0; m < p.M; ++m) s.add(prob[std::size_t(m)] * at(in.v, v, m, c), rounded(prob[std::size_t(m)]) * std::abs(at(in.v, v, m, c)));
            expect("y", at(out, y, n, c), s);
            delta.add(at(up, g, n, c) * s.value, std::abs(at(up, g, n, c)) * s.size);
          }
          std::vector<Sum> ds(static_cast<std::size_t>(p.M)), sum_q(static_cast<std::size_t>(p.d));
          for (Index m = 0; m < p.M; ++m) {
            const double pr = prob[std::size_t(m)];
            Sum dp;
            for (Index c = 0; c < p.d; ++c) {
              const double t = at(up, g, n, c) * at(in.v, v, m, c);
              dp.add(t, std::abs(t));
              sum_v[std::size_t(m * p.d + c)].add(pr * at(up, g, n, c), rounded(pr) * std::abs(at(up, g, n, c)));
            }
            ds[std::size_t(m)] = {pr * (dp.value - delta.value), rounded(pr * (dp.size + delta.size))};
            if (p.bias != Plane::none) sum_bias[std::size_t(bs.at(a, b, h, n, m))].add(ds[std::size_t(m)].value, ds[std::size_t(m)].size);
            for (Index c = 0; c < p.d; ++c) {
              const double qs = at(in.q, q, n, c) * double(in.scale), ks = at(in.k, k, m, c) * double(in.scale);
              sum_k[std::size_t(m * p.d + c)].add(ds[std::size_t(m)].value * qs, ds[std::size_t(m)].size * std::abs(qs));
              sum_q[std::size_t(c)].add(ds[std::size_t(m)].value * ks, ds[std::size_t(m)].size * std::abs(ks));
            }
          }
          for (Index c = 0; c < p.d; ++c) expect("dq", at(d.q, dq, n, c), sum_q[std::size_t(c)]);
          if (::testing::Test::HasFatalFailure()) return;
        }
        for (Index m = 0; m < p.M; ++m)
          for (Index c = 0; c < p.d; ++c) {
            expect("dk", at(d.k, dk, m, c), sum_k[std::size_t(m * p.d + c)]);
            expect("dv", at(d.v, dv, m, c), sum_v[std::size_t(m * p.d + c)]);
          }
        if (::testing::Test::HasFatalFailure()) return;
      }
  if (p.bias != Plane::none)
    for (std::size_t i = 0; i < sum_bias.size(); ++i) expect("dbias", double(float(dbias.host[i])), sum_bias[i]);
}

class CudaAttention : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  }
};

TEST_F(CudaAttention, EveryHeadDim) {
  for (const Index d : {32, 40, 64, 72, 80, 96, 128, 256}) {
    const Problem p{.A = 1, .B = 1, .heads = 2, .N = 150, .M = 75, .d = d};
    check<bf16>(p), check<half>(p);
    if (HasFatalFailure()) return;
  }
}
TEST_F(CudaAttention, LengthsBiasesAndMasks) {
  for (const Index d : {24, 40, 64, 128, 256})
    for (const Plane plane : {Plane::whole, Plane::heads, Plane::keys, Plane::queries}) {
      const Plane other = plane == Plane::whole ? Plane::keys : plane == Plane::keys ? Plane::heads : Plane::whole;
      check<bf16>({.A = 3, .B = 2, .heads = 1, .N = 35, .M = 70, .d = d, .lengths = true, .bias = plane, .mask = other});
      if (HasFatalFailure()) return;
    }
  check<half>({.A = 1, .B = 1, .heads = 2, .N = 130, .M = 67, .d = 72, .bias = Plane::heads});
  check<half>({.A = 2, .B = 1, .heads = 2, .N = 33, .M = 140, .d = 64, .mask = Plane::queries});
}
TEST_F(CudaAttention, ShortSequences) {
  for (const Index d : {16, 40, 72, 96, 128})
    for (const Index n : {1, 16, 17, 32}) {
      check<bf16>({.A = 2, .B = 5, .heads = 3, .N = n, .M = n, .d = d});
      check<half>({.A = 3, .B = 1, .heads = 2, .N = n, .M = 9, .d = d, .lengths = true, .bias = Plane::heads, .mask = Plane::whole});
      if (HasFatalFailure()) return;
    }
}
TEST_F(CudaAttention, PlainProducts) {
  for (const Index d : {5, 64, 72, 150, 260}) check<float>({.A = 2, .B = 1, .heads = 2, .N = 70, .M = 80, .d = d, .lengths = true});
  check<float>({.A = 2, .B = 3, .heads = 2, .N = 70, .M = 80, .d = 12, .bias = Plane::queries, .mask = Plane::heads});
  check<bf16>({.A = 1, .B = 2, .heads = 2, .N = 70, .M = 80, .d = 13, .bias = Plane::keys, .mask = Plane::whole});
}

}  // namespace
}  // namespace fg
