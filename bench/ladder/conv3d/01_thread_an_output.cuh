// conv3d, step 1: a thread an output.
//
// The formula as it stands: 27 taps, and for each the channels. Neighbouring lanes have neighbouring outputs of one position, so x's number is one
// for all of them, but their weights lie 27·C apart: 32 sectors for 32 numbers, for each multiplication.
#pragma once

#include "bench/ladder/conv3d/problem.hpp"

namespace ladder::conv3d::thread_an_output {

using namespace fg::cuda;

inline constexpr int kOutputs = 32, kPositions = 8;  // of a block

// grid [ceil(positions / kPositions), ceil(O / kOutputs)], block (kOutputs, kPositions)
__global__ void convolve(const float* __restrict__ x,        // [T, H, W, C]
                         const float* __restrict__ weights,  // [O, taps, C]
                         float* __restrict__ y,              // [T, H, W, O]
                         int T, int H, int W, int C, int O) {
  const int position = int(blockIdx.x) * kPositions + int(threadIdx.y), o = int(blockIdx.y) * kOutputs + int(threadIdx.x);
  if (position >= T * H * W || o >= O) return;
  const Cell here = cell_of(position, H, W);
  float sum = 0.0f;
  for (int tap = 0; tap < kTaps; ++tap) {
    const Cell from = moved(here, tap);
    if (!inside(from, T, H, W)) continue;  // padding: zeros
    const float* const row = x + row_of(from, H, W) * C;
    const float* const weight = weights + (Index(o) * kTaps + tap) * C;
    for (int c = 0; c < C; ++c) sum += row[c] * weight[c];
  }
  y[Index(position) * O + o] = sum;
}

inline void run(const Conv3d& p) {
  launch(convolve, Grid{dim3(unsigned(ceil_div(p.positions(), kPositions)), unsigned(ceil_div(p.O, kOutputs))), dim3(kOutputs, kPositions)}, p.x, p.weights, p.y, p.T, p.H, p.W, p.C, p.O);
}

}  // namespace ladder::conv3d::thread_an_output
