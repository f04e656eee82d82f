// gemm, step 5: each thread owns every 16th row and column, and no two lanes meet in a bank.
//
// Which 64 elements a thread owns is free to choose. With columns x, x + 16, … in place of 8·x, 8·x + 1, … neighbouring lanes read neighbouring
// numbers: 16 banks, one pass. Rows y and y + 1 of A lie 16 numbers apart, in banks that don't meet either. And C is written in runs of 16.
//
// 16 passes of shared memory for 64 multiply-adds of a warp: as many cycles as the multipliers take. What is left in the way are the
// loads as instructions: 16 of them for 64 multiply-adds, and the schedulers issue one or the other.
#pragma once

#include "bench/ladder/gemm/problem.hpp"

namespace ladder::gemm::no_bank_conflicts {

using namespace fg::cuda;

inline constexpr int kTile = 128, kDepth = 16, kOwn = 8, kSide = kTile / kOwn, kThreads = kSide * kSide;

// grid [ceil(N / kTile), ceil(M / kTile)], block kThreads
__global__ void __launch_bounds__(kThreads) multiply(const float* __restrict__ a,  // [M, K]
                                                     const float* __restrict__ b,  // [K, N]
                                                     float* __restrict__ c,        // [M, N]
                                                     int M, int N, int K) {
  __shared__ float left[kTile][kDepth], right[kDepth][kTile];
  const int thread = int(threadIdx.x), x = thread % kSide, y = thread / kSide;
  const int row0 = int(blockIdx.y) * kTile, col0 = int(blockIdx.x) * kTile;
  float sum[kOwn][kOwn] = {};
  for (int k0 = 0; k0 < K; k0 += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += kThreads) {
      const int r = i / kDepth, k = i % kDepth;
      left[r][k] = row0 + r < M && k0 + k < K ? a[Index(row0 + r) * K + k0 + k] : 0.0f;
    }
    for (int i = thread; i < kTile * kDepth; i += kThreads) {
      const int k = i / kTile, n = i % kTile;
      right[k][n] = k0 + k < K && col0 + n < N ? b[Index(k0 + k) * N + col0 + n] : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < kDepth; ++k) {
      float l[kOwn], r[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) l[i] = left[y + kSide * i][k];
#pragma unroll
      for (int j = 0; j < kOwn; ++j) r[j] = right[k][x + kSide * j];
#pragma unroll
      for (int i = 0; i < kOwn; ++i)
#pragma unroll
        for (int j = 0; j < kOwn; ++j) sum[i][j] += l[i] * r[j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i)
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      const int row = row0 + y + kSide * i, col = col0 + x + kSide * j;
      if (row < M && col < N) c[Index(row) * N + col] = sum[i][j];
    }
}

inline void run(const Gemm& p) {
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kTile)), unsigned(ceil_div(p.M, kTile))), dim3(kThreads)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::no_bank_conflicts
