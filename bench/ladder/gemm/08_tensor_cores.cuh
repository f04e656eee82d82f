// gemm, step 8: bf16 on tensor cores.
//
// mma.sync multiplies 16 × 16 by 16 × 8 numbers in one instruction of a warp: 2048 multiply-adds where an FMA has 32. Its operands are bf16, its
// sums f32; the numbers lie spread over the lanes as the PTX ISA says, and ldmatrix fetches them so from shared memory. B lies with k going down,
// so its matrices are loaded transposed.
//
// A warp owns 64 × 32 of C: for 16 of depth it loads 4 pieces of A and 2 of B (four 8 × 8 matrices each), then multiplies 16 times. Eight rows of a matrix are read at
// once, 16 bytes each: rows of 40 and 136 numbers, an odd number of 16 bytes, put them into different banks.
//
// From here on: cuda/conv.cuh has four stages in place of two, and swizzled tiles in place of wider rows. The engine's plain products are cuBLASLt's
// (cuda/gemm.cu).
#pragma once

#include "bench/ladder/gemm/problem.hpp"
#include "cuda/vector.cuh"

namespace ladder::gemm::tensor_cores {

using namespace fg::cuda;

inline constexpr int kTile = 128, kDepth = 32, kThreads = 256, kPiece = kPack<bf16>;
inline constexpr int kLeftPitch = kDepth + kPiece, kRightPitch = kTile + kPiece;
inline constexpr int kWarpRows = 64, kWarpCols = 32, kM = kWarpRows / 16, kN = kWarpCols / 8;

// grid [ceil(N / kTile), ceil(M / kTile)], block kThreads
__global__ void __launch_bounds__(kThreads, 2) multiply(const bf16* __restrict__ a,  // [M, K]
                                                     const bf16* __restrict__ b,  // [K, N]
                                                     float* __restrict__ c,       // [M, N]
                                                     int M, int N, int K) {
  __shared__ __align__(16) bf16 left[2][kTile][kLeftPitch], right[2][kDepth][kRightPitch];
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int row0 = int(blockIdx.y) * kTile, col0 = int(blockIdx.x) * kTile;
  const int m = warp / 4 * kWarpRows, n = warp % 4 * kWarpCols;  // the warp's part of the tile
  const auto fetch = [&](int k0, int stage) {
    for (int i = thread; i < kTile * kDepth / kPiece; i += kThreads) {
      const int r = i / (kDepth / kPiece), k = i % (kDepth / kPiece) * kPiece;
      const bool in = row0 + r < M && k0 + k < K;
      cp_async<16>(&left[stage][r][k], in ? a + Index(row0 + r) * K + k0 + k : a, in ? 16 : 0);
    }
    for (int i = thread; i < kTile * kDepth / kPiece; i += kThreads) {
      const int k = i / (kTile / kPiece), col = i % (kTile / kPiece) * kPiece;
      const bool in = k0 + k < K && col0 + col < N;
      cp_async<16>(&right[stage][k][col], in ? b + Index(k0 + k) * N + col0 + col : b, in ? 16 : 0);
    }
    cp_async_commit();
  };

  float sum[kM][kN][4] = {};
  fetch(0, 0);
  for (int k0 = 0, stage = 0; k0 < K; k0 += kDepth, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all have done with the other one
    if (k0 + kDepth < K) fetch(k0 + kDepth, stage ^ 1);
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      unsigned l[kM][4], r[kN / 2][4];  // r: two fragments of 8 columns each
#pragma unroll
      for (int i = 0; i < kM; ++i) ldmatrix_x4(l[i], &left[stage][m + 16 * i + lane % 16][k + lane / 16 * 8]);
#pragma unroll
      for (int j = 0; j < kN / 2; ++j) ldmatrix_x4_trans(r[j], &right[stage][k + lane % 16][n + 16 * j + lane / 16 * 8]);
#pragma unroll
      for (int i = 0; i < kM; ++i)
#pragma unroll
        for (int j = 0; j < kN; ++j) mma_m16n8k16<bf16>(sum[i][j], l[i], r[j / 2] + j % 2 * 2, sum[i][j]);
    }
  }

  // A lane has, of each 16 × 8, two neighbours in row lane / 4 and two in the row eight further down.
#pragma unroll
  for (int i = 0; i < kM; ++i)
#pragma unroll
    for (int j = 0; j < kN; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = row0 + m + 16 * i + 8 * h + lane / 4, col = col0 + n + 8 * j + lane % 4 * 2;
        if (row < M && col < N) store_pack(c + Index(row) * N + col, Pack<float, 2>{{sum[i][j][2 * h], sum[i][j][2 * h + 1]}});
      }
}

inline void run(const Gemm& p) {
  need_pieces("gemm: K", p.K, kPiece);
  need_pieces("gemm: N", p.N, kPiece);
  launch(multiply, Grid{dim3(unsigned(ceil_div(p.N, kTile)), unsigned(ceil_div(p.M, kTile))), dim3(kThreads)}, p.a16, p.b16, p.c, p.M, p.N, p.K);
}

}  // namespace ladder::gemm::tensor_cores
