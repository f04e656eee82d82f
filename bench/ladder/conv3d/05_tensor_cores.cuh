// conv3d, step 5: bf16 on tensor cores.
//
// The tiles are step 4's, with 32 numbers of depth in place of 16. Both have their depth along the row, which is what mma.sync wants of its left operand row by
// row and of its right one column by column, so neither is transposed on its way. A warp owns 32 positions × 32 outputs.
//
// From here on: cuda/conv.cuh walks the taps without a division a copy, takes all taps of a few channels before the next channels so that the caches
// hold what taps share, keeps four tiles in flight, and knows stride, dilation, groups, causal padding and both gradients.
#pragma once

#include "bench/ladder/conv3d/problem.hpp"
#include "cuda/vector.cuh"

namespace ladder::conv3d::tensor_cores {

using namespace fg::cuda;

inline constexpr int kRows = 128, kCols = 64, kDepth = 32, kPiece = kPack<bf16>, kPitch = kDepth + kPiece, kThreads = 256, kPieces = kDepth / kPiece;
inline constexpr int kWarpRows = 32, kWarpCols = 32, kM = kWarpRows / 16, kN = kWarpCols / 8;

// grid [ceil(positions / kRows), ceil(O / kCols)], block kThreads
__global__ void __launch_bounds__(kThreads) convolve(const bf16* __restrict__ x,        // [T, H, W, C]
                                                     const bf16* __restrict__ weights,  // [O, taps, C]
                                                     float* __restrict__ y,             // [T, H, W, O]
                                                     int T, int H, int W, int C, int O) {
  __shared__ __align__(16) bf16 left[2][kRows][kPitch], right[2][kCols][kPitch];
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int row0 = int(blockIdx.x) * kRows, col0 = int(blockIdx.y) * kCols, positions = T * H * W, depth = kTaps * C;
  const int m = warp / 2 * kWarpRows, n = warp % 2 * kWarpCols;  // the warp's part of the tile
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

  float sum[kM][kN][4] = {};
  fetch(0, 0);
  for (int k0 = 0, stage = 0; k0 < depth; k0 += kDepth, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all have done with the other one
    if (k0 + kDepth < depth) fetch(k0 + kDepth, stage ^ 1);
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      unsigned l[kM][4], r[kN / 2][4];  // r: two fragments of 8 columns each
#pragma unroll
      for (int i = 0; i < kM; ++i) ldmatrix_x4(l[i], &left[stage][m + 16 * i + lane % 16][k + lane / 16 * 8]);
#pragma unroll
      for (int j = 0; j < kN / 2; ++j) ldmatrix_x4(r[j], &right[stage][n + 16 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8]);
#pragma unroll
      for (int i = 0; i < kM; ++i)
#pragma unroll
        for (int j = 0; j < kN; ++j) mma_m16n8k16<bf16>(sum[i][j], l[i], r[j / 2] + j % 2 * 2, sum[i][j]);
    }
  }
#pragma unroll
  for (int i = 0; i < kM; ++i)
#pragma unroll
    for (int j = 0; j < kN; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int position = row0 + m + 16 * i + e / 2 * 8 + lane / 4, o = col0 + n + 8 * j + lane % 4 * 2 + e % 2;
        if (position < positions && o < O) y[Index(position) * O + o] = sum[i][j][e];
      }
}

inline void run(const Conv3d& p) {
  need_pieces("conv3d: C", p.C, kPiece);
  launch(convolve, Grid{dim3(unsigned(ceil_div(p.positions(), kRows)), unsigned(ceil_div(p.O, kCols))), dim3(kThreads)}, p.x16, p.weights16, p.y, p.T, p.H, p.W, p.C, p.O);
}

}  // namespace ladder::conv3d::tensor_cores
