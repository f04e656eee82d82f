// Copies between layouts, number by number beside what cpu::copy_strided does a block at a time.
#include <gtest/gtest.h>

#include <vector>

#include <framegrad/core/dtype.hpp>
#include <framegrad/cpu/strided.hpp>

namespace {

using namespace fg;

/// dst [outer, n, length], dense, of src, in which n's numbers lie side by side, `gap` numbers behind each run of them.
template <class D, class S>
void check_across(Index outer, Index n, Index length, Index gap, bool add) {
  SCOPED_TRACE(text("outer ", outer, " n ", n, " length ", length, " gap ", gap, " add ", add));
  const Index step = n + gap;
  std::vector<S> src(std::size_t(outer * length * step));
  std::vector<D> dst(std::size_t(outer * n * length));
  for (std::size_t i = 0; i < src.size(); ++i) src[i] = S(float(i * 7 % 61));
  for (std::size_t i = 0; i < dst.size(); ++i) dst[i] = D(float(i % 3));
  const std::vector<D> before = dst;
  Geometry g;
  Strides from;
  for (const Index x : {outer, n, length}) g.sizes.push_back(x);
  for (const Index x : {n * length, length, Index(1)}) g.strides.push_back(x);
  for (const Index x : {length * step, Index(1), step}) from.push_back(x);
  cpu::copy_strided(dst.data(), g, src.data(), from, add);
  for (Index o = 0; o < outer; ++o)
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < length; ++j) {
        const std::size_t at = std::size_t((o * n + i) * length + j);
        const float expected = float(src[std::size_t((o * length + j) * step + i)]) + (add ? float(before[at]) : 0.0f);
        ASSERT_EQ(float(dst[at]), expected) << o << " " << i << " " << j;  // small whole numbers: exact in every type
      }
}

template <class D, class S>
void check_sizes() {
  constexpr Index sizes[][2] = {{8, 8}, {7, 100}, {31, 64}, {33, 65}, {64, 200}, {130, 9}, {1, 70}, {16, 129}};
  for (const auto& s : sizes)
    for (const Index outer : {1, 3})
      for (const bool add : {false, true}) check_across<D, S>(outer, s[0], s[1], add ? 0 : 5, add);
}

TEST(CpuStrided, AcrossLinesInEveryType) {
  check_sizes<float, float>();
  check_sizes<double, double>();
  check_sizes<bf16, bf16>();
  check_sizes<half, half>();
}

TEST(CpuStrided, AcrossLinesConverting) {
  check_sizes<float, bf16>();
  check_sizes<bf16, float>();
}

TEST(CpuStrided, AcrossLinesByThreads) {
  const int before = threads();
  for (const int n : {1, 2, 5}) {
    set_threads(n);
    check_across<float, float>(2, 300, 700, 1, false);
    check_across<bf16, bf16>(2, 300, 700, 0, true);
  }
  set_threads(before);
}

}  // namespace
