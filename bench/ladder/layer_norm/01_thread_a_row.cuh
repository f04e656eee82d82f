// layer_norm, step 1: a thread a row.
//
// Three walks along the row: its mean, the variance about it (Σx² − (Σx)²/C cancels badly in f32), the output. Right, and slow twice over: neighbouring lanes
// read C numbers apart, a sector of 32 bytes for each number; and 4096 rows are 4096 threads, where a large GPU wants over 200,000.
#pragma once

#include "bench/ladder/layer_norm/problem.hpp"

namespace ladder::layer_norm::thread_a_row {

using namespace fg::cuda;

inline constexpr int kThreads = 128;

// grid [ceil(rows / kThreads)], block kThreads
__global__ void normalise(const float* __restrict__ x,      // [rows, C]
                          const float* __restrict__ gamma,  // [C]
                          const float* __restrict__ beta,   // [C]
                          float* __restrict__ y,            // [rows, C]
                          int rows, int C, float eps) {
  const int row = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (row >= rows) return;
  x += Index(row) * C;
  y += Index(row) * C;

  float sum = 0.0f;
  for (int c = 0; c < C; ++c) sum += x[c];
  const float mu = sum / C;
  float squares = 0.0f;
  for (int c = 0; c < C; ++c) {
    const float d = x[c] - mu;
    squares += d * d;
  }
  const float r = rsqrtf(squares / C + eps);
  for (int c = 0; c < C; ++c) y[c] = (x[c] - mu) * r * gamma[c] + beta[c];
}

inline void run(const LayerNorm& p) {
  launch(normalise, Grid{dim3(unsigned(ceil_div(p.rows, kThreads))), dim3(kThreads)}, p.x, p.gamma, p.beta, p.y, p.rows, p.C, p.eps);
}

}  // namespace ladder::layer_norm::thread_a_row
