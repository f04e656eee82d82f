// conv3d, step 4: copies of 16 bytes that pad, in flight.
//
// Channels are neighbours in memory, so four numbers of depth are one copy, and a place is worked out for four at once. cp.async takes how many of its bytes
// it should read; the rest become zeros. So a tap that falls outside of the clip is a copy of no bytes, and padding is neither a branch nor a copy of x with an edge.
// Two tiles take turns, as in gemm's seventh step.
//
// Rows of 20 numbers, an odd number of 16 bytes: eight lanes that read 16 bytes of eight rows meet in no bank.
#pragma once

#include "bench/ladder/conv3d/problem.hpp"
#include "bench/ladder/four.cuh"

namespace ladder::conv3d::padding_copies {

using namespace fg::cuda;

inline constexpr int kRows = 128, kCols = 64, kDepth = 16, kPiece = kPack<float>, kPitch = kDepth + kPiece, kSide = 16, kThreads = kSide * kSide;
inline constexpr int kOwnRows = kRows / kSide, kOwnCols = kCols / kSide, kPieces = kDepth / kPiece;

// grid [ceil(positions / kRows), ceil(O / kCols)], block kThreads
__global__ void __launch_bounds__(kThreads) convolve(const float* __restrict__ x,        // [T, H, W, C]
                                                     const float* __restrict__ weights,  // [O, taps, C]
                                                     float* __restrict__ y,              // [T, H, W, O]
                                                     int T, int H, int W, int C, int O) {
  __shared__ __align__(16) float left[2][kRows][kPitch], right[2][kCols][kPitch];
  const int thread = int(threadIdx.x), column = thread % kSide, row = thread / kSide;
  const int row0 = int(blockIdx.x) * kRows, col0 = int(blockIdx.y) * kCols, positions = T * H * W, depth = kTaps * C;
  const auto fetch = [&](int k0, int stage) {
    const int piece = thread % kPieces * kPiece, k = k0 + piece, tap = k / C, c = k % C;
    for (int r = thread / kPieces; r < kRows; r += kThreads / kPieces) {
      const Cell from = moved(cell_of(row0 + r, H, W), tap);
      const bool in = k < depth && row0 + r < positions && inside(from, T, H, W);
      cp_async<16>(&left[stage][r][piece], in ? x + row_of(from, H, W) * C + c : x, in ? 16 : 0);
    }
    for (int o = thread / kPieces; o < kCols; o += kThreads / kPieces) {
      const bool in = k < depth && col0 + o < O;
      cp_async<16>(&right[stage][o][piece], in ? weights + Index(col0 + o) * depth + k : weights, in ? 16 : 0);
    }
    cp_async_commit();
  };

  float sum[kOwnRows][kOwnCols] = {};
  fetch(0, 0);
  for (int k0 = 0, stage = 0; k0 < depth; k0 += kDepth, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all have done with the other one
    if (k0 + kDepth < depth) fetch(k0 + kDepth, stage ^ 1);
#pragma unroll 1  // 128 multiply-adds a turn are enough
    for (int e = 0; e < kDepth; e += kPiece) {
      Four r[kOwnCols];
#pragma unroll
      for (int j = 0; j < kOwnCols; ++j) r[j] = load4(&right[stage][column + kSide * j][e]);
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) {
        const auto l = load4(&left[stage][row + kSide * i][e]);
#pragma unroll
        for (int j = 0; j < kOwnCols; ++j)
#pragma unroll
          for (int v = 0; v < kPiece; ++v) sum[i][j] += l.v[v] * r[j].v[v];
      }
    }
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
  need_pieces("conv3d: C", p.C, kPiece);
  launch(convolve, Grid{dim3(unsigned(ceil_div(p.positions(), kRows)), unsigned(ceil_div(p.O, kCols))), dim3(kThreads)}, p.x, p.weights, p.y, p.T, p.H, p.W, p.C, p.O);
}

}  // namespace ladder::conv3d::padding_copies
