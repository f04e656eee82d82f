// ldmatrix, mma.sync and cp.async as the PTX ISA defines them, each against a plain product or copy.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "cuda/ptx.cuh"

using namespace fg::cuda;
using fg::bf16;
using fg::half;

namespace {

// C [16, 8] = A [16, 16]·B [16, 8] + 1, the fragments gathered element by element from the ISA's tables.
template <class T>
__global__ void product_by_table(const T* A, const T* B, float* C) {
  const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
  unsigned a[4], b[2];
  for (int i = 0; i < 4; ++i) {
    const T* p = A + (g + 8 * (i % 2)) * 16 + 2 * t + 8 * (i / 2);
    a[i] = pack<T>(to_float(p[0]), to_float(p[1]));
  }
  for (int i = 0; i < 2; ++i) {
    const T* p = B + (2 * t + 8 * i) * 8 + g;
    b[i] = pack<T>(to_float(p[0]), to_float(p[8]));
  }
  const float one[4] = {1, 1, 1, 1};
  float d[4];
  mma_m16n8k16<T>(d, a, b, one);
  for (int i = 0; i < 4; ++i) C[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}

// The same through shared memory: cp.async in two groups, A by ldmatrix, B transposed on the way or stored transposed.
template <class T, bool kTransposedB>
__global__ void product_by_ldmatrix(const T* A, const T* B, float* C) {
  __shared__ __align__(16) T a_tile[16][24];
  __shared__ __align__(16) T b_tile[16][24];
  const int lane = int(threadIdx.x), g = lane / 4, t = lane % 4;
  cp_async<16>(&a_tile[lane / 2][lane % 2 * 8], A + lane / 2 * 16 + lane % 2 * 8);
  cp_async_commit();
  if constexpr (kTransposedB) {  // [n][k]
    if (lane < 16) cp_async<16>(&b_tile[lane / 2][lane % 2 * 8], B + lane / 2 * 16 + lane % 2 * 8);
  } else {                       // [k][n]
    if (lane < 16) cp_async<16>(&b_tile[lane][0], B + lane * 8);
  }
  cp_async_commit();
  cp_async_wait<1>();
  __syncwarp();
  unsigned a[4], b[2];
  ldmatrix_x4(a, &a_tile[lane % 16][lane / 16 * 8]);
  cp_async_wait<0>();
  __syncwarp();
  if constexpr (kTransposedB) ldmatrix_x2(b, &b_tile[lane % 8][lane / 8 % 2 * 8]);
  else ldmatrix_x2_trans(b, &b_tile[lane % 16][0]);
  float d[4] = {1, 1, 1, 1};
  mma_m16n8k16<T>(d, a, b, d);
  for (int i = 0; i < 4; ++i) C[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}

template <class T> struct Mma : testing::Test {
  T A[256], B[128], Bt[128];
  float C[128], expected[128];
  Mma() {
    for (int i = 0; i < 256; ++i) A[i] = T(float(i * 29 % 31 - 15) / 4);
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 8; ++n) Bt[n * 16 + k] = B[k * 8 + n] = T(float((k * 8 + n) * 17 % 23 - 11) / 8);
    for (int i = 0; i < 16; ++i)
      for (int n = 0; n < 8; ++n) {
        expected[i * 8 + n] = 1;  // all values are multiples of 1/32 below 2^10: every order of addition is exact
        for (int k = 0; k < 16; ++k) expected[i * 8 + n] += float(A[i * 16 + k]) * float(B[k * 8 + n]);
      }
  }
  void compare() {
    for (int i = 0; i < 128; ++i) EXPECT_EQ(C[i], expected[i]) << "row " << i / 8 << ", column " << i % 8;
  }
};
using Halves = testing::Types<bf16, half>;
TYPED_TEST_SUITE(Mma, Halves);

TYPED_TEST(Mma, FragmentsByTheTables) {
  launch(product_by_table<TypeParam>, Grid{1, 32}, this->A, this->B, this->C);
  this->compare();
}
TYPED_TEST(Mma, FragmentsByLdmatrix) {
  alignas(16) TypeParam A[256], B[128];
  std::copy(this->A, this->A + 256, A), std::copy(this->B, this->B + 128, B);
  launch(product_by_ldmatrix<TypeParam, false>, Grid{1, 32}, A, B, this->C);
  this->compare();
  std::copy(this->Bt, this->Bt + 128, B);
  std::fill(this->C, this->C + 128, 0.0f);
  launch(product_by_ldmatrix<TypeParam, true>, Grid{1, 32}, A, B, this->C);
  this->compare();
}

__global__ void product_tf32(const float* A, const float* B, float* C) {  // [16, 8]·[8, 8]
  const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
  unsigned a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = to_tf32(A[(g + 8 * (i % 2)) * 8 + t + 4 * (i / 2)]);
  for (int i = 0; i < 2; ++i) b[i] = __float_as_uint(B[(t + 4 * i) * 8 + g]);
  float d[4] = {};
  mma_m16n8k8_tf32(d, a, b, d);
  for (int i = 0; i < 4; ++i) C[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}
TEST(MmaTf32, SeesNineteenBits) {
  float A[128], B[64], C[128];
  for (int i = 0; i < 128; ++i) A[i] = float(i * 5 % 17 - 8) + 0x1p-12f;  // rounded away by to_tf32
  for (int i = 0; i < 64; ++i) B[i] = float(i * 3 % 11 - 5) * (1 + 0x1p-11f);  // cut off by the tensor core
  launch(product_tf32, Grid{1, 32}, A, B, C);
  for (int i = 0; i < 16; ++i)
    for (int n = 0; n < 8; ++n) {
      float sum = 0;
      for (int k = 0; k < 8; ++k) {
        const float a = float((i * 8 + k) * 5 % 17 - 8);
        sum += (a == 0 ? 0x1p-12f : a) * float((k * 8 + n) * 3 % 11 - 5);  // 0 + 2^-12 needs no rounding
      }
      EXPECT_EQ(C[i * 8 + n], sum);
    }
}

__global__ void all_matrices(const unsigned short* x, unsigned* plain, unsigned* transposed) {
  __shared__ __align__(16) unsigned short tile[32 * 8];
  for (int i = int(threadIdx.x); i < 256; i += 32) tile[i] = x[i];
  __syncwarp();
  unsigned r[4];
  const void* row = &tile[threadIdx.x * 8];
  ldmatrix_x4(r, row);
  for (int i = 0; i < 4; ++i) plain[32 * i + threadIdx.x] = r[i];
  ldmatrix_x4_trans(r, row);
  for (int i = 0; i < 4; ++i) transposed[32 * i + threadIdx.x] = r[i];
  ldmatrix_x1(r, row);
  if (r[0] != plain[threadIdx.x]) plain[0] = ~0u;
  ldmatrix_x1_trans(r, row);
  if (r[0] != transposed[threadIdx.x]) plain[0] = ~0u;
}
TEST(Ldmatrix, PlainAndTransposed) {
  unsigned short x[256];
  unsigned plain[128], transposed[128];
  for (int i = 0; i < 256; ++i) x[i] = static_cast<unsigned short>(i * 257);
  launch(all_matrices, Grid{1, 32}, x, plain, transposed);
  for (int m = 0; m < 4; ++m)
    for (int lane = 0; lane < 32; ++lane) {
      const unsigned short* p = x + 64 * m;
      const int g = lane / 4, t = lane % 4;
      EXPECT_EQ(plain[32 * m + lane], p[8 * g + 2 * t] | unsigned(p[8 * g + 2 * t + 1]) << 16);
      EXPECT_EQ(transposed[32 * m + lane], p[8 * 2 * t + g] | unsigned(p[8 * (2 * t + 1) + g]) << 16);
    }
}

// out[i]: what thread 0 finds at stages of a pipeline of three groups
__global__ void pipeline(const float* x, float* out) {
  __shared__ __align__(16) float tile[4][4];
  if (threadIdx.x != 0) return;
  for (int i = 0; i < 3; ++i) {
    cp_async<16>(tile[i], x + 4 * i);
    cp_async_commit();
  }
  cp_async<4>(&tile[3][0], x, 0);  // nothing read: zeros
  for (int i = 0; i < 3; ++i) out[i] = tile[i][0];
  cp_async_wait<2>();
  for (int i = 0; i < 3; ++i) out[3 + i] = tile[i][0];
  cp_async_wait<0>();
  for (int i = 0; i < 4; ++i) out[6 + i] = tile[i][0];
  cp_async_wait_all();
  out[10] = tile[3][0];
  cp_async<16>(tile[0], x + 8, 8);  // two floats, then zeros
  cp_async_commit();
  cp_async_wait<0>();
  for (int i = 0; i < 4; ++i) out[11 + i] = tile[0][i];
}
TEST(CpAsync, DataIsThereOnceWaitedForAndNotBefore) {
  alignas(16) float x[12];
  float out[15];
  for (int i = 0; i < 12; ++i) x[i] = float(i + 1);
  launch(pipeline, Grid{1, 32}, x, out);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(out[i])) << i;
  EXPECT_EQ(out[3], 1);
  EXPECT_TRUE(std::isnan(out[4]) && std::isnan(out[5]));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(out[6 + i], float(4 * i + 1));
  EXPECT_TRUE(std::isnan(out[9]));  // belongs to no group yet: wait_group doesn't wait for it
  EXPECT_EQ(out[10], 0);
  EXPECT_EQ(out[11], 9);
  EXPECT_EQ(out[12], 10);
  EXPECT_EQ(out[13], 0);
  EXPECT_EQ(out[14], 0);
}

template <class T>
__global__ void round_trip(const T* x, T* y, T* z) {
  float f[kVector<T>];
  to_floats<T>(load16(x + threadIdx.x * kVector<T>), f);
  store16(y + threadIdx.x * kVector<T>, from_floats<T>(f));
  for (int i = 0; i < kVector<T>; ++i) z[int(threadIdx.x) * kVector<T> + i] = from_float<T>(to_float(load_streaming(x + int(threadIdx.x) * kVector<T> + i)) * 2);
}
template <class T> struct Vectors : testing::Test {};
using Scalars = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Vectors, Scalars);
TYPED_TEST(Vectors, ConvertAndKeepTheirOrder) {
  using T = TypeParam;
  constexpr int n = 32 * kVector<T>;
  alignas(16) T x[n], y[n], z[n];
  for (int i = 0; i < n; ++i) x[i] = T(float(i % 128) - 64);
  launch(round_trip<T>, Grid{1, 32}, x, y, z);
  for (int i = 0; i < n; ++i) {
    EXPECT_EQ(float(y[i]), float(x[i]));
    EXPECT_EQ(float(z[i]), 2 * float(x[i]));
  }
}

}  // namespace
