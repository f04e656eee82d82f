// layer_norm, step 2: a block a row.
//
// 256 threads walk a row side by side, so a warp's 32 numbers are 4 sectors, and there are 256 times as many threads. Now a sum is spread over
// the block. It comes together in shared memory, as a tree: half of the threads add the other half's numbers to theirs, then a quarter …,
// each time behind a barrier.
//
// Ten barriers a sum, two sums a row, and most threads idle in most of them: for a row of a thousand numbers, four a thread, that is
// more waiting than work.
#pragma once

#include "bench/ladder/layer_norm/problem.hpp"

namespace ladder::layer_norm::block_a_row {

using namespace fg::cuda;

inline constexpr int kThreads = 256;

/// The sum over the block, for every thread.
__device__ __forceinline__ float sum_by_tree(float v) {
  __shared__ float part[kThreads];
  const int thread = int(threadIdx.x);
  part[thread] = v;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) part[thread] += part[thread + half];
  }
  __syncthreads();
  const float sum = part[0];
  __syncthreads();  // all have read it before the next sum begins
  return sum;
}

// grid [rows], block kThreads
__global__ void __launch_bounds__(kThreads) normalise(const float* __restrict__ x,      // [rows, C]
                                                      const float* __restrict__ gamma,  // [C]
                                                      const float* __restrict__ beta,   // [C]
                                                      float* __restrict__ y,            // [rows, C]
                                                      int C, float eps) {
  x += Index(blockIdx.x) * C;
  y += Index(blockIdx.x) * C;

  float sum = 0.0f;
  for (int c = int(threadIdx.x); c < C; c += kThreads) sum += x[c];
  const float mu = sum_by_tree(sum) / C;
  float squares = 0.0f;
  for (int c = int(threadIdx.x); c < C; c += kThreads) {
    const float d = x[c] - mu;
    squares += d * d;
  }
  const float r = rsqrtf(sum_by_tree(squares) / C + eps);
  for (int c = int(threadIdx.x); c < C; c += kThreads) y[c] = (x[c] - mu) * r * gamma[c] + beta[c];
}

inline void run(const LayerNorm& p) {
  launch(normalise, Grid{dim3(unsigned(p.rows)), dim3(kThreads)}, p.x, p.gamma, p.beta, p.y, p.C, p.eps);
}

}  // namespace ladder::layer_norm::block_a_row
