// rope's kernel where rows and heads part into packs of 16 bytes, and where they don't: the op's cases have odd heads alone. Against the formula in double.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include <framegrad/core/backend.hpp>
#include <framegrad/core/dtype.hpp>
#include <framegrad/cuda/rope.hpp>

namespace fg {
namespace {

template <class T>
T* on_device(const std::vector<T>& host) {
  T* p = static_cast<T*>(cuda::allocate(Index(host.size() * sizeof(T)), 0));
  cuda::copy_to_device(p, host.data(), Index(host.size() * sizeof(T)));
  return p;
}

/// x [B, N, heads·d] as every second part of rows twice as long, y dense.
template <class T>
void check(Index heads, Index d, bool adjacent, float direction) {
  SCOPED_TRACE(text(name_of(dtype_of<T>), ", ", heads, " heads of ", d, adjacent ? ", neighbours" : ", halves"));
  constexpr Index B = 2, N = 5;
  const Index C = heads * d;
  std::vector<T> x(std::size_t(B * N * 2 * C)), y(std::size_t(B * N * C), T(std::nanf("")));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(std::sin(0.7f * float(i)));
  std::vector<float> cos, sin;
  for (Index n = 0; n < N; ++n)
    for (Index i = 0; i < d / 2; ++i) cos.push_back(std::cos(float(n * (i + 1)))), sin.push_back(std::sin(float(n * (i + 1))));
  T *const dx = on_device(x), *const dy = on_device(y);
  float *const dc = on_device(cos), *const ds = on_device(sin);
  cuda::Walk<2> rows;
  rows.push(B, {N * 2 * C, N * C});
  rows.push(N, {2 * C, C});
  cuda::RopeKernels<T>::turn(rows, C, d, adjacent, direction, dx + C, {dc, d / 2, 1}, {ds, d / 2, 1}, dy);
  cuda::copy_to_host(y.data(), dy, Index(y.size() * sizeof(T)));
  const double eps = double(float(std::numeric_limits<T>::epsilon()));
  for (Index row = 0; row < B * N; ++row)
    for (Index h = 0; h < heads; ++h)
      for (Index i = 0; i < d / 2; ++i) {
        const Index one = h * d + (adjacent ? 2 * i : i), two = adjacent ? one + 1 : one + d / 2;
        const auto at = [&](Index c) { return double(float(x[std::size_t(row * 2 * C + C + c)])); };
        const double c = double(cos[std::size_t(row % N * d / 2 + i)]), s = double(direction) * double(sin[std::size_t(row % N * d / 2 + i)]);
        ASSERT_NEAR(double(float(y[std::size_t(row * C + one)])), at(one) * c - at(two) * s, 2 * eps) << row << ", " << h << ", " << i;
        ASSERT_NEAR(double(float(y[std::size_t(row * C + two)])), at(two) * c + at(one) * s, 2 * eps) << row << ", " << h << ", " << i;
      }
  cuda::release(dx, Index(x.size() * sizeof(T)), 0), cuda::release(dy, Index(y.size() * sizeof(T)), 0);
  cuda::release(dc, Index(cos.size() * 4), 0), cuda::release(ds, Index(sin.size() * 4), 0);
}

TEST(CudaRope, PacksAndPairs) {
  if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  for (const Index d : {2, 6, 8, 16, 64, 72})
    for (const bool adjacent : {true, false})
      for (const float direction : {1.0f, -1.0f}) {
        check<float>(3, d, adjacent, direction);
        check<bf16>(8, d, adjacent, direction);
        check<half>(5, d, adjacent, direction);
        if (HasFatalFailure()) return;
      }
}

}  // namespace
}  // namespace fg
