// What broadcast adds move, counted: the operand of the result's size and the result once each, and what repeats next to nothing. Compiled like
// detectors_test.cpp.
#include <gtest/gtest.h>

#include <framegrad/ops/formula/add.hpp>

#include "cuda/pointwise.cuh"
#include "cuda/simt/memory.hpp"
#include "cuda/simt/sectors.hpp"

namespace {

using namespace fg;
using namespace fg::cuda;

constexpr Index kSector = 32;

/// Registered memory of n numbers that T holds exactly.
template <class T>
class Numbers {
 public:
  explicit Numbers(Index n) : memory_(new T[std::size_t(n) + 128]), data_(memory_.get() + 32) {
    while (reinterpret_cast<std::uintptr_t>(data_) % 64) ++data_;
    for (Index i = 0; i < n; ++i) data_[i] = T(float(i * 7 % 61));
    simt::memory().add(data_, std::size_t(n) * sizeof(T));
  }
  ~Numbers() { simt::memory().remove(data_); }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  operator T*() { return data_; }

 private:
  std::unique_ptr<T[]> memory_;
  T* data_;
};

/// x [samples, rows, C] plus b, whose strides are given; checks the sum and returns the sectors that were asked for.
template <class T>
Index sectors_of_add(Index samples, Index rows, Index C, Index of_b, const Index (&b_strides)[3]) {
  const Index n = samples * rows * C;
  Numbers<T> x(n), b(of_b), y(n);
  Walk<2> w;
  w.push(samples, {rows * C, b_strides[0]}), w.push(rows, {C, b_strides[1]}), w.push(C, {1, b_strides[2]});
  auto& sectors = simt::sector_totals();
  sectors.reset();
  sectors.counting = true;
  BinaryKernels<T, formula::Add>::value(w, y, x, b);
  sectors.counting = false;
  for (Index s = 0; s < samples; ++s)
    for (Index r = 0; r < rows; ++r)
      for (Index c = 0; c < C; ++c) {
        const Index i = (s * rows + r) * C + c;
        EXPECT_EQ(float(y[i]), float(x[i]) + float(b[s * b_strides[0] + r * b_strides[1] + c * b_strides[2]])) << i;
      }
  return Index(sectors.sum().sectors);
}

template <class T>
struct BroadcastAdd : testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(BroadcastAdd, Types);

TYPED_TEST(BroadcastAdd, OfARowReadsItOnceForEightRows) {
  constexpr Index kRows = 64, kC = 256;
  const Index tensor = kRows * kC * Index(sizeof(TypeParam)) / kSector;
  EXPECT_EQ(sectors_of_add<TypeParam>(1, kRows, kC, kC, {0, 0, 1}), 2 * tensor + tensor / kSteps);
}
TYPED_TEST(BroadcastAdd, OfARowForEachSampleReadsItOnceForEightRows) {
  constexpr Index kRows = 32, kC = 256;
  const Index tensor = 2 * kRows * kC * Index(sizeof(TypeParam)) / kSector;
  EXPECT_EQ(sectors_of_add<TypeParam>(2, kRows, kC, 2 * kC, {kC, 0, 1}), 2 * tensor + tensor / kSteps);
}
TYPED_TEST(BroadcastAdd, OfANumberForEachRowReadsASectorAWarp) {
  constexpr Index kRows = 64, kC = 512;  // a warp's packs lie in one row
  const Index tensor = kRows * kC * Index(sizeof(TypeParam)) / kSector, warps = tensor / 16;
  EXPECT_EQ(sectors_of_add<TypeParam>(1, kRows, kC, kRows, {0, 1, 0}), 2 * tensor + warps);
}
TYPED_TEST(BroadcastAdd, OfUnevenRowsGoesByElements) {
  EXPECT_GT(sectors_of_add<TypeParam>(2, 5, 33, 33, {0, 0, 1}), 0);
}

}  // namespace
