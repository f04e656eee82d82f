// layer_norm, step 3: a warp a row.
//
// The lanes of a warp can hand each other registers: __shfl_xor_sync gives a lane the value of the lane whose number differs in one bit. Five
// exchanges and all 32 have the sum (warp_sum, cuda/warp.cuh). No shared memory, no barrier, and rows don't wait for each other.
//
// What is left is memory: three walks read x three times, where once would do.
#pragma once

#include "bench/ladder/layer_norm/problem.hpp"
#include "cuda/warp.cuh"

namespace ladder::layer_norm::warp_a_row {

using namespace fg::cuda;

inline constexpr int kRows = 4, kThreads = kRows * kWarp;

// grid [ceil(rows / kRows)], block kThreads
__global__ void __launch_bounds__(kThreads) normalise(const float* __restrict__ x,      // [rows, C]
                                                      const float* __restrict__ gamma,  // [C]
                                                      const float* __restrict__ beta,   // [C]
                                                      float* __restrict__ y,            // [rows, C]
                                                      int rows, int C, float eps) {
  const int row = int(blockIdx.x) * kRows + int(threadIdx.x) / kWarp, lane = int(threadIdx.x) % kWarp;
  if (row >= rows) return;  // the whole warp leaves together, so warp_sum stays safe
  x += Index(row) * C;
  y += Index(row) * C;

  float sum = 0.0f;
  for (int c = lane; c < C; c += kWarp) sum += x[c];
  const float mu = warp_sum(sum) / C;
  float squares = 0.0f;
  for (int c = lane; c < C; c += kWarp) {
    const float d = x[c] - mu;
    squares += d * d;
  }
  const float r = rsqrtf(warp_sum(squares) / C + eps);
  for (int c = lane; c < C; c += kWarp) y[c] = (x[c] - mu) * r * gamma[c] + beta[c];
}

inline void run(const LayerNorm& p) {
  launch(normalise, Grid{dim3(unsigned(ceil_div(p.rows, kRows))), dim3(kThreads)}, p.x, p.gamma, p.beta, p.y, p.rows, p.C, p.eps);
}

}  // namespace ladder::layer_norm::warp_a_row
