// gemm, step 7: the next tile is on its way while this one is multiplied.
//
// cp.async copies from global into shared memory without passing through registers, and the thread goes on. With two tiles of each
// matrix, one fills while the other is multiplied: the wait for memory lies behind 16·64 multiply-adds of each thread. One barrier a tile is enough
// now: behind it this tile is full and the other one is free.
//
// The multiplications are step 6's: 64 of them for 4 loads, no conflict, and now no wait. By these counts the f32 multipliers are what bounds it.
#pragma once

#include "bench/ladder/gemm/06_sixteen_bytes.cuh"

namespace ladder::gemm::copies_in_flight {

using namespace sixteen_bytes;

// grid [ceil(N / kTile), ceil(M / kTile)], block kThreads
__global__ void __launch_bounds__(kThreads, 2) multiply(const float* __restrict__ a,  // [M, K]
                                                     const float* __restrict__ b,  // [K, N]
                                                     float* __restrict__ c,        // [M, N]
                                                     int M, int N, int K) {
  __shared__ __align__(16) float left[2][kTile][kDepth], right[2][kDepth][kTile];
  const int thread = int(threadIdx.x), x = thread % kSide, y = thread / kSide;
  const int row0 = int(blockIdx.y) * kTile, col0 = int(blockIdx.x) * kTile;
  const auto fetch = [&](int k0, int stage) {
#pragma unroll 1  // unrolled, the addresses would take registers that the sums need
    for (int i = thread; i < kTile * kDepth / kRun; i += kThreads) {
      const int r = i / (kDepth / kRun), k = i % (kDepth / kRun) * kRun;
      const bool in = row0 + r < M && k0 + k < K;
      cp_async<16>(&left[stage][r][k], in ? a + Index(row0 + r) * K + k0 + k : a, in ? 16 : 0);  // zeros for the rest
    }
#pragma unroll 1  // unrolled, the addresses would take registers that the sums need
    for (int i = thread; i < kTile * kDepth / kRun; i += kThreads) {
      const int k = i / (kTile / kRun), n = i % (kTile / kRun) * kRun;
      const bool in = k0 + k < K && col0 + n < N;
      cp_async<16>(&right[stage][k][n], in ? b + Index(k0 + k) * N + col0 + n : b, in ? 16 : 0);
    }
    cp_async_commit();
  };

  float sum[kOwn][kRuns][kRun] = {};
  fetch(0, 0);
  for (int k0 = 0, stage = 0; k0 < K; k0 += kDepth, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all have done with the other one
    if (k0 + kDepth < K) fetch(k0 + kDepth, stage ^ 1);
    multiply_tiles(sum, left[stage], right[stage], x, y);
  }
  write_sums(sum, c, M, N, row0, col0, x, y);
}

inline void run(const Gemm& p) {
  need_pieces("gemm: K", p.K, kRun);
  need_pieces("gemm: N", p.N, kRun);
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kTile)), unsigned(ceil_div(p.M, kTile))), dim3(kThreads)}, p.a, p.b, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::copies_in_flight
