// gemm, step 4: a thread owns 8 × 8 elements of C.
//
// What is in registers costs nothing to read again. A thread takes 8 numbers of A and 8 of B from shared memory and makes 64 multiply-adds of
// them: 4 for each load, where it was half of one. The tile grows to 128 × 128, so memory is asked less as well.
//
// A thread owns a square of neighbours, which is the obvious choice, and costs what was gained: lanes read every eighth number of a row of B, and 16
// lanes meet in 4 of the 32 banks. One such load takes four passes in place of one, one from A two.
#pragma once

#include "bench/ladder/gemm/problem.hpp"

namespace ladder::gemm::register_tiles {

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
      for (int i = 0; i < kOwn; ++i) l[i] = left[y * kOwn + i][k];
#pragma unroll
      for (int j = 0; j < kOwn; ++j) r[j] = right[k][x * kOwn + j];
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
      const int row = row0 + y * kOwn + i, col = col0 + x * kOwn + j;
      if (row < M && col < N) c[Index(row) * N + col] = sum[i][j];
    }
}

inline void run(const Gemm& p) {
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kTile)), unsigned(ceil_div(p.M, kTile))), dim3(kThreads)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::register_tiles
