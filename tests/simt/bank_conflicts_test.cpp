// Bank conflicts and sectors as they are counted, against what the 32 banks of a GPU and its memory would need. Compiled like detectors_test.cpp.
#include "instrumented.hpp"

#include "cuda/vector.cuh"
#include "cuda/simt/banks.hpp"
#include "cuda/simt/sectors.hpp"

namespace {

constexpr int kColumnLine = __LINE__ + 7;
template <int kColumns>
__global__ void column_reads(float* y) {
  __shared__ float tile[32][kColumns];
  for (int i = 0; i < 32; ++i) tile[i][threadIdx.x] = 1;  // a row: no conflict
  __syncwarp();
  float sum = 0;
  for (int i = 0; i < 32; ++i) sum += tile[threadIdx.x][i];  // a column: all in one bank, if kColumns is 32
  y[threadIdx.x] = sum;
}
__global__ void vector_reads(float* y, int stride) {
  __shared__ __align__(16) float tile[32 * 8];
  for (int i = 0; i < 8; ++i) tile[32 * i + int(threadIdx.x)] = 1;
  __syncwarp();
  y[threadIdx.x] = __uint_as_float(load16(&tile[int(threadIdx.x) * stride]).x);
}
struct BankConflicts : testing::Test {
  BankConflicts() { fg::simt::bank_totals().counting = true, fg::simt::bank_totals().reset(); }
  ~BankConflicts() { fg::simt::bank_totals().counting = false; }
  Device y{32};
};
TEST_F(BankConflicts, OfAColumn) {
  EXPECT_EQ(report_of(column_reads<32>, {1, 32}, y), "(nothing)");
  EXPECT_EQ(fg::simt::bank_totals().conflicts(), 32u * 31u);
  std::uint64_t here = 0;
  for (const auto& [place, n] : fg::simt::bank_totals().by_line()) {
    if (place.find("bank_conflicts_test.cpp:" + std::to_string(kColumnLine)) != std::string::npos) here = n.conflicts;
  }
  EXPECT_EQ(here, 32u * 31u);
}
TEST_F(BankConflicts, NoneWithPadding) {
  EXPECT_EQ(report_of(column_reads<33>, {1, 32}, y), "(nothing)");
  EXPECT_EQ(fg::simt::bank_totals().conflicts(), 0u);
}
TEST_F(BankConflicts, OfVectorsGoByQuarterWarps) {
  EXPECT_EQ(report_of(vector_reads, {1, 32}, y, 4), "(nothing)");
  EXPECT_EQ(fg::simt::bank_totals().conflicts(), 0u);
  EXPECT_EQ(report_of(vector_reads, {1, 32}, y, 8), "(nothing)");
  EXPECT_EQ(fg::simt::bank_totals().conflicts(), 4u);  // eight lanes reach over 64 words: two passes for each quarter
}

__global__ void strided_reads(const float* x, float* y, int stride) { y[threadIdx.x] = x[int(threadIdx.x) * stride]; }
__global__ void copy_four(const float* x, float* y) { store16(y + threadIdx.x * 4, load16(x + threadIdx.x * 4)); }
__global__ void copy_packs(const float* x, float* y) { store_pack(y + threadIdx.x * 4, load_pack<4>(x + threadIdx.x * 4)); }
__global__ void copy_async(const float* x, float* y) {
  __shared__ __align__(16) float tile[32 * 4];
  cp_async<16>(&tile[threadIdx.x * 4], x, threadIdx.x < 8 ? 16 : 0);  // zeros need no memory
  cp_async_wait_all();
  y[threadIdx.x] = tile[threadIdx.x * 4];
}
struct Sectors : testing::Test {
  Sectors() { fg::simt::sector_totals().counting = true, fg::simt::sector_totals().reset(); }
  ~Sectors() { fg::simt::sector_totals().counting = false; }
  static void expect(std::uint64_t accesses, std::uint64_t sectors) {
    EXPECT_EQ(fg::simt::sector_totals().sum().accesses, accesses);
    EXPECT_EQ(fg::simt::sector_totals().sum().sectors, sectors);
  }
  Device x{32 * 32}, y{32 * 4};
};
TEST_F(Sectors, OfNeighboursAndOfAColumn) {
  EXPECT_EQ(report_of(strided_reads, {1, 32}, x, y, 1), "(nothing)");
  expect(2, 4 + 4);
  EXPECT_EQ(report_of(strided_reads, {1, 32}, x, y, 32), "(nothing)");
  expect(4, 4 + 4 + 32 + 4);
}
TEST_F(Sectors, OfOneWordForAll) {
  EXPECT_EQ(report_of(strided_reads, {1, 32}, x, y, 0), "(nothing)");
  expect(2, 1 + 4);
}
TEST_F(Sectors, OfSixteenBytesALane) {
  EXPECT_EQ(report_of(copy_four, {1, 32}, x, y), "(nothing)");
  expect(2, 16 + 16);
}
TEST_F(Sectors, TouchedAreCountedOnce) {
  auto& touched = fg::simt::touched_sectors();
  touched.counting = true;
  for (const int stride : {0, 1, 32}) {
    touched.reset();
    EXPECT_EQ(report_of(strided_reads, {2, 32}, x, y, stride), "(nothing)");  // both blocks do the same
    EXPECT_EQ(touched.count(), unsigned((stride == 0 ? 1 : stride == 1 ? 4 : 32) + 4)) << stride;
  }
  touched.counting = false;
}
TEST_F(Sectors, OfPacks) {
  EXPECT_EQ(report_of(copy_packs, {1, 32}, x, y), "(nothing)");
  expect(2, 16 + 16);
  EXPECT_NE(report_of(copy_packs, {1, 32}, static_cast<float*>(x) + 1, y).find("an access of 16 bytes: the address is 4 beyond"), std::string::npos);
}
TEST_F(Sectors, OfAsynchronousCopies) {
  EXPECT_EQ(report_of(copy_async, {1, 32}, x, y), "(nothing)");
  expect(2, 1 + 4);
}

}  // namespace
