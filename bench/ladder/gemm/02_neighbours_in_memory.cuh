// gemm, step 2: neighbouring lanes work on neighbours in memory.
//
// Only the roles of x and y have changed. The lanes of a warp now share a row: A's number is one for all, and B's and C's 32 numbers lie side by side,
// 4 sectors. Per multiplication a warp asks for 5 sectors in place of 33. Still, each number of A is fetched N times and each of B M times: two
// loads for one multiply-add, from a cache that gives a fraction of what the multipliers take.
#pragma once

#include "bench/ladder/gemm/problem.hpp"

namespace ladder::gemm::neighbours_in_memory {

using namespace fg::cuda;

inline constexpr int kRows = 8, kCols = 32;  // of a block

// grid [ceil(N / kCols), ceil(M / kRows)], block (kCols, kRows)
__global__ void multiply(const float* __restrict__ a,  // [M, K]
                         const float* __restrict__ b,  // [K, N]
                         float* __restrict__ c,        // [M, N]
                         int M, int N, int K) {
  const int row = int(blockIdx.y) * kRows + int(threadIdx.y), col = int(blockIdx.x) * kCols + int(threadIdx.x);
  if (row >= M || col >= N) return;
  float sum = 0.0f;
  for (int k = 0; k < K; ++k) sum += a[Index(row) * K + k] * b[Index(k) * N + col];
  c[Index(row) * N + col] = sum;
}

inline void run(const Gemm& p) {
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kCols)), unsigned(ceil_div(p.M, kRows))), dim3(kCols, kRows)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::neighbours_in_memory
