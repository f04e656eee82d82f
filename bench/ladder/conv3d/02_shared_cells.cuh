// conv3d, step 2: a block shares its cells and its weights.
//
// 32 positions, a piece of 4 × 8 of a frame, need the same 3 × 6 × 10 cells: each is read once for up to 27 taps. And they need the same weights, which come
// with lanes along the channels, as they lie, and are turned around on the way into shared memory: the outputs become neighbours there. One number more
// a row (kPitch) puts a column into 32 different banks while it is written.
//
// Shared memory limits it as it limits gemm's third step: two reads for one multiply-add. And 180 cells are fetched for 32: the halo is most of it.
#pragma once

#include "bench/ladder/conv3d/problem.hpp"

namespace ladder::conv3d::shared_cells {

using namespace fg::cuda;

inline constexpr int kOutputs = 32, kHigh = 4, kWide = 8, kThreads = kOutputs * kHigh * kWide;
inline constexpr int kChannels = 8;  // at a time: what shared memory has room for
inline constexpr int kPitch = kOutputs + 1;

// grid [ceil(W / kWide) · ceil(H / kHigh), T, ceil(O / kOutputs)], block (kOutputs, kWide, kHigh)
__global__ void __launch_bounds__(kThreads) convolve(const float* __restrict__ x,        // [T, H, W, C]
                                                     const float* __restrict__ weights,  // [O, taps, C]
                                                     float* __restrict__ y,              // [T, H, W, O]
                                                     int T, int H, int W, int C, int O) {
  __shared__ float cells[kKernel][kHigh + 2][kWide + 2][kChannels], shared_weights[kTaps * kChannels][kPitch];
  const int across = (W + kWide - 1) / kWide;
  const Cell corner{int(blockIdx.y), int(blockIdx.x) / across * kHigh, int(blockIdx.x) % across * kWide};
  const int output0 = int(blockIdx.z) * kOutputs;
  const int lane = int(threadIdx.x), w = int(threadIdx.y), h = int(threadIdx.z), thread = lane + kOutputs * (w + kWide * h);

  float sum = 0.0f;
  for (int c0 = 0; c0 < C; c0 += kChannels) {
    for (int i = thread; i < kKernel * (kHigh + 2) * (kWide + 2) * kChannels; i += kThreads) {
      const int c = i % kChannels, v = i / kChannels % (kWide + 2), u = i / kChannels / (kWide + 2) % (kHigh + 2), s = i / kChannels / (kWide + 2) / (kHigh + 2);
      const Cell from{corner.t + s - 1, corner.h + u - 1, corner.w + v - 1};
      cells[s][u][v][c] = c0 + c < C && inside(from, T, H, W) ? x[row_of(from, H, W) * C + c0 + c] : 0.0f;
    }
    for (int i = thread; i < kOutputs * kTaps * kChannels; i += kThreads) {
      const int c = i % kChannels, tap = i / kChannels % kTaps, o = i / kChannels / kTaps;
      shared_weights[tap * kChannels + c][o] = c0 + c < C && output0 + o < O ? weights[(Index(output0 + o) * kTaps + tap) * C + c0 + c] : 0.0f;
    }
    __syncthreads();  // the tiles are full
    for (int tap = 0; tap < kTaps; ++tap) {
      const Cell from = moved({1, h + 1, w + 1}, tap);
      for (int c = 0; c < kChannels; ++c) sum += cells[from.t][from.h][from.w][c] * shared_weights[tap * kChannels + c][lane];
    }
    __syncthreads();  // all have done with them
  }
  const Cell here{corner.t, corner.h + h, corner.w + w};
  if (inside(here, T, H, W) && output0 + lane < O) y[row_of(here, H, W) * O + output0 + lane] = sum;
}

inline void run(const Conv3d& p) {
  const unsigned pieces = unsigned(ceil_div(p.W, kWide) * ceil_div(p.H, kHigh));
  launch(convolve, Grid{dim3(pieces, unsigned(p.T), unsigned(ceil_div(p.O, kOutputs))), dim3(kOutputs, kWide, kHigh)}, p.x, p.weights, p.y, p.T, p.H, p.W, p.C, p.O);
}

}  // namespace ladder::conv3d::shared_cells
