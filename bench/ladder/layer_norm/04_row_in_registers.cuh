// layer_norm, step 4: the row stays in registers.
//
// A lane keeps its part of the row, up to 48 numbers, so x is read once and the second and third walk cost no memory at all. The loops have a
// fixed length and are unrolled: an array that is indexed by constants alone is registers. All loads of a row are also on their way at
// once, where each walk had waited for one after the other.
//
// Rows longer than 32·48 = 1536 don't fit: the engine's kernel then gives a row to more lanes (cuda/rows.cuh).
#pragma once

#include "bench/ladder/layer_norm/problem.hpp"
#include "cuda/warp.cuh"

namespace ladder::layer_norm::row_in_registers {

using namespace fg::cuda;

inline constexpr int kRows = 4, kThreads = kRows * kWarp, kHeld = 48, kMostC = kHeld * kWarp;

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

  float held[kHeld], sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) held[i] = lane + i * kWarp < C ? x[lane + i * kWarp] : 0.0f;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) sum += held[i];
  const float mu = warp_sum(sum) / C;
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (lane + i * kWarp >= C) break;
    squares += (held[i] - mu) * (held[i] - mu);
  }
  const float r = rsqrtf(warp_sum(squares) / C + eps);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int c = lane + i * kWarp;
    if (c >= C) break;  // with an `if` around the line below, the compiler would fetch every γ and β ahead, into 180 registers more
    y[c] = (held[i] - mu) * r * gamma[c] + beta[c];
  }
}

inline void run(const LayerNorm& p) {
  if (p.C > kMostC) throw fg::ShapeError(fg::text("layer_norm: C is ", p.C, ", this step holds ", kMostC));
  launch(normalise, Grid{dim3(unsigned(ceil_div(p.rows, kRows))), dim3(kThreads)}, p.x, p.gamma, p.beta, p.y, p.rows, p.C, p.eps);
}

}  // namespace ladder::layer_norm::row_in_registers
