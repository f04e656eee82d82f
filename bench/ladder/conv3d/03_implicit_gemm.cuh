// conv3d, step 3: it is a product of matrices.
//
//   rows: positions      columns: outputs      depth: (tap, channel)
//
// The left matrix holds, for each position, the 27·C numbers that its outputs sum over. Nobody writes it down: it would be 27 times x. A block makes the tile
// that it needs by fetching each number from where it lies in the clip, and from there on this is gemm's fifth step: 8 × 4 sums a thread, in registers, no two
// lanes in a bank.
//
// The weights are that product's right matrix, transposed: its tile has outputs for rows too. What it costs: each number's place is worked out with divisions,
// and each has its own load.
#pragma once

#include "bench/ladder/conv3d/problem.hpp"

namespace ladder::conv3d::implicit_gemm {

using namespace fg::cuda;

inline constexpr int kRows = 128, kCols = 64, kDepth = 16, kPitch = kDepth + 1, kSide = 16, kThreads = kSide * kSide;
inline constexpr int kOwnRows = kRows / kSide, kOwnCols = kCols / kSide;

// grid [ceil(positions / kRows), ceil(O / kCols)], block kThreads
__global__ void __launch_bounds__(kThreads) convolve(const float* __restrict__ x,        // [T, H, W, C]
                                                     const float* __restrict__ weights,  // [O, taps, C]
                                                     float* __restrict__ y,              // [T, H, W, O]
                                                     int T, int H, int W, int C, int O) {
  __shared__ float left[kRows][kPitch], right[kCols][kPitch];
  const int thread = int(threadIdx.x), column = thread % kSide, row = thread / kSide;
  const int row0 = int(blockIdx.x) * kRows, col0 = int(blockIdx.y) * kCols, positions = T * H * W, depth = kTaps * C;

  float sum[kOwnRows][kOwnCols] = {};
  for (int k0 = 0; k0 < depth; k0 += kDepth) {
    const int k = k0 + thread % kDepth, tap = k / C, c = k % C;  // of the numbers that this thread fetches
    for (int r = thread / kDepth; r < kRows; r += kThreads / kDepth) {
      const Cell from = moved(cell_of(row0 + r, H, W), tap);
      left[r][thread % kDepth] = k < depth && row0 + r < positions && inside(from, T, H, W) ? x[row_of(from, H, W) * C + c] : 0.0f;
    }
    for (int o = thread / kDepth; o < kCols; o += kThreads / kDepth) right[o][thread % kDepth] = k < depth && col0 + o < O ? weights[Index(col0 + o) * depth + k] : 0.0f;
    __syncthreads();  // the tiles are full
    for (int e = 0; e < kDepth; ++e) {
      float l[kOwnRows], r[kOwnCols];
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) l[i] = left[row + kSide * i][e];
#pragma unroll
      for (int j = 0; j < kOwnCols; ++j) r[j] = right[column + kSide * j][e];
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i)
#pragma unroll
        for (int j = 0; j < kOwnCols; ++j) sum[i][j] += l[i] * r[j];
    }
    __syncthreads();  // all have done with them
  }
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i)
#pragma unroll
    for (int j = 0; j < kOwnCols; ++j) {
      const int position = row0 + row + kSide * i, o = col0 + column + kSide * j;
      if (position < positions && o < O) y[Index(position) * O + o] = sum[i][j];
    }
}

inline void run(const Conv3d& p) {
  launch(convolve, Grid{dim3(unsigned(ceil_div(p.positions(), kRows)), unsigned(ceil_div(p.O, kCols))), dim3(kThreads)}, p.x, p.weights, p.y, p.T, p.H, p.W, p.C, p.O);
}

}  // namespace ladder::conv3d::implicit_gemm
