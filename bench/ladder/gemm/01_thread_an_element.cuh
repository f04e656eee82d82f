// gemm, step 1: a thread an element of C.
//
//   c[row, col] = Σ_k a[row, k]·b[k, col]
//
// As one would write it first, and right. Lane by lane the rows go down, so for one multiplication a warp reads 32 rows of A: 32 sectors of 32
// bytes for 32 numbers. (B's number is one for all lanes.) Seven eighths of what moves is thrown away, and the multipliers wait for memory.
#pragma once

#include "bench/ladder/gemm/problem.hpp"

namespace ladder::gemm::thread_an_element {

using namespace fg::cuda;

inline constexpr int kRows = 32, kCols = 8;  // of a block

// grid [ceil(M / kRows), ceil(N / kCols)], block (kRows, kCols)
__global__ void multiply(const float* __restrict__ a,  // [M, K]
                         const float* __restrict__ b,  // [K, N]
                         float* __restrict__ c,        // [M, N]
                         int M, int N, int K) {
  const int row = int(blockIdx.x) * kRows + int(threadIdx.x), col = int(blockIdx.y) * kCols + int(threadIdx.y);
  if (row >= M || col >= N) return;
  float sum = 0.0f;
  for (int k = 0; k < K; ++k) sum += a[Index(row) * K + k] * b[Index(k) * N + col];
  c[Index(row) * N + col] = sum;
}

inline void run(const Gemm& p) {
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.M, kRows)), unsigned(ceil_div(p.N, kCols))), dim3(kRows, kCols)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::thread_an_element
