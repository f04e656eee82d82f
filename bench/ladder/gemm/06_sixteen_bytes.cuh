// gemm, step 6: 16 bytes a load, from global memory and from shared.
//
// A lane that needs four neighbours asks once. The instructions that load are a quarter: 16 for 256 multiply-adds. From A a thread takes four
// numbers along k, so no tile has to be transposed; of C it owns two runs of four columns. Eight lanes read 128 bytes side by side, so there is no conflict.
//
// The price: rows must begin at multiples of 16 bytes, so K and N are multiples of four. What is left: nobody multiplies while a tile is on its way.
#pragma once

#include "bench/ladder/four.cuh"
#include "bench/ladder/gemm/problem.hpp"

namespace ladder::gemm::sixteen_bytes {

using namespace fg::cuda;

inline constexpr int kTile = 128, kDepth = 16, kOwn = 8, kSide = kTile / kOwn, kThreads = kSide * kSide;
inline constexpr int kRun = 4, kRuns = kOwn / kRun;  // the thread's columns: runs of four, 4·kSide apart

/// The sums' change by 16 of depth.
__device__ __forceinline__ void multiply_tiles(float (&sum)[kOwn][kRuns][kRun], const float (&left)[kTile][kDepth], const float (&right)[kDepth][kTile], int x, int y) {
#pragma unroll 1  // 256 multiply-adds a turn are enough; more would fetch ahead into registers that there aren't
  for (int k = 0; k < kDepth; k += kRun) {
    Four l[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) l[i] = load4(&left[y + kSide * i][k]);
#pragma unroll
    for (int e = 0; e < kRun; ++e)
#pragma unroll
      for (int j = 0; j < kRuns; ++j) {
        const Four r = load4(&right[k + e][(x + kSide * j) * kRun]);
#pragma unroll
        for (int i = 0; i < kOwn; ++i)
#pragma unroll
          for (int n = 0; n < kRun; ++n) sum[i][j][n] += l[i].v[e] * r.v[n];
      }
  }
}

/// A thread's elements of C, as 16 bytes each.
__device__ __forceinline__ void write_sums(const float (&sum)[kOwn][kRuns][kRun], float* c, int M, int N, int row0, int col0, int x, int y) {
#pragma unroll
  for (int i = 0; i < kOwn; ++i)
#pragma unroll
    for (int j = 0; j < kRuns; ++j) {
      const int row = row0 + y + kSide * i, col = col0 + (x + kSide * j) * kRun;
      if (row >= M || col >= N) continue;
      Four out;
#pragma unroll
      for (int n = 0; n < kRun; ++n) out.v[n] = sum[i][j][n];
      store4(c + Index(row) * N + col, out);
    }
}

// grid [ceil(N / kTile), ceil(M / kTile)], block kThreads
__global__ void __launch_bounds__(kThreads, 2) multiply(const float* __restrict__ a,  // [M, K]
                                                     const float* __restrict__ b,  // [K, N]
                                                     float* __restrict__ c,        // [M, N]
                                                     int M, int N, int K) {
  __shared__ __align__(16) float left[kTile][kDepth], right[kDepth][kTile];
  const int thread = int(threadIdx.x), x = thread % kSide, y = thread / kSide;
  const int row0 = int(blockIdx.y) * kTile, col0 = int(blockIdx.x) * kTile;
  float sum[kOwn][kRuns][kRun] = {};
  const Four zeros = {};
  for (int k0 = 0; k0 < K; k0 += kDepth) {
#pragma unroll 1  // unrolled, the addresses would take registers that the sums need
    for (int i = thread; i < kTile * kDepth / kRun; i += kThreads) {
      const int r = i / (kDepth / kRun), k = i % (kDepth / kRun) * kRun;
      store4(&left[r][k], row0 + r < M && k0 + k < K ? load4(a + Index(row0 + r) * K + k0 + k) : zeros);
    }
#pragma unroll 1  // unrolled, the addresses would take registers that the sums need
    for (int i = thread; i < kTile * kDepth / kRun; i += kThreads) {
      const int k = i / (kTile / kRun), n = i % (kTile / kRun) * kRun;
      store4(&right[k][n], k0 + k < K && col0 + n < N ? load4(b + Index(k0 + k) * N + col0 + n) : zeros);
    }
    __syncthreads();
    multiply_tiles(sum, left, right, x, y);
    __syncthreads();
  }
  write_sums(sum, c, M, N, row0, col0, x, y);
}

inline void run(const Gemm& p) {
  need_pieces("gemm: K", p.K, kRun);
  need_pieces("gemm: N", p.N, kRun);
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kTile)), unsigned(ceil_div(p.M, kTile))), dim3(kThreads)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::sixteen_bytes
