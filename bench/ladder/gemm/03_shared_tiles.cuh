// gemm, step 3: a block fetches a tile once and shares it.
//
// The 1024 threads of a block need 32 rows of A and 32 columns of B, and each number of them 32 times. They copy a square of each into shared
// memory, multiply the squares, and move on along k. Memory is asked for a sixteenth of what it was.
//
// What bounds it now is shared memory itself. A multiply-add of a warp reads twice from it, one pass each; a multiprocessor serves one pass a
// cycle and could do four multiply-adds: an eighth of what the multipliers could do is the best that this can reach.
#pragma once

#include "bench/ladder/gemm/problem.hpp"

namespace ladder::gemm::shared_tiles {

using namespace fg::cuda;

inline constexpr int kTile = 32;

// grid [ceil(N / kTile), ceil(M / kTile)], block (kTile, kTile)
__global__ void __launch_bounds__(kTile * kTile) multiply(const float* __restrict__ a,  // [M, K]
                                                          const float* __restrict__ b,  // [K, N]
                                                          float* __restrict__ c,        // [M, N]
                                                          int M, int N, int K) {
  __shared__ float left[kTile][kTile], right[kTile][kTile];
  const int x = int(threadIdx.x), y = int(threadIdx.y);
  const int row = int(blockIdx.y) * kTile + y, col = int(blockIdx.x) * kTile + x;
  float sum = 0.0f;
  for (int k0 = 0; k0 < K; k0 += kTile) {
    left[y][x] = row < M && k0 + x < K ? a[Index(row) * K + k0 + x] : 0.0f;  // zeros beyond the edge add nothing
    right[y][x] = k0 + y < K && col < N ? b[Index(k0 + y) * N + col] : 0.0f;
    __syncthreads();  // the tiles are full
    for (int k = 0; k < kTile; ++k) sum += left[y][k] * right[k][x];
    __syncthreads();  // all have done with them
  }
  if (row < M && col < N) c[Index(row) * N + col] = sum;
}

inline void run(const Gemm& p) {
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kTile)), unsigned(ceil_div(p.M, kTile))), dim3(kTile, kTile)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::shared_tiles
