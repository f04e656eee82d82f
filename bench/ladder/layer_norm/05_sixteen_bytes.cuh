// layer_norm, step 5: 16 bytes a load.
//
// A lane takes four neighbours at once, a warp 512 bytes: the same bytes by a quarter of the instructions, and more of them under way for each one. A
// memory whose answers take most of a microsecond is kept busy by what is under way; what is left to wait for are the bytes that must move, x in and y out.
//
// From here on: cuda/layer_norm.cuh is this kernel for bf16 and half too, for rows of any length (a quarter warp, a warp or a block owns one), with the
// gradient beside it.
#pragma once

#include "bench/ladder/four.cuh"
#include "bench/ladder/layer_norm/problem.hpp"
#include "cuda/warp.cuh"

namespace ladder::layer_norm::sixteen_bytes {

using namespace fg::cuda;

inline constexpr int kRows = 4, kThreads = kRows * kWarp, kPiece = kPack<float>, kHeld = 12, kMostC = kHeld * kPiece * kWarp;

// grid [ceil(rows / kRows)], block kThreads
__global__ void __launch_bounds__(kThreads) normalise(const float* __restrict__ x,      // [rows, C]
                                                      const float* __restrict__ gamma,  // [C]
                                                      const float* __restrict__ beta,   // [C]
                                                      float* __restrict__ y,            // [rows, C]
                                                      int rows, int C, float eps) {
  const int row = int(blockIdx.x) * kRows + int(threadIdx.x) / kWarp, c0 = int(threadIdx.x) % kWarp * kPiece;
  if (row >= rows) return;  // the whole warp leaves together, so warp_sum stays safe
  x += Index(row) * C;
  y += Index(row) * C;

  constexpr int kStep = kWarp * kPiece;
  Four held[kHeld];
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) held[i] = c0 + i * kStep < C ? load4(x + c0 + i * kStep) : Four{};
#pragma unroll
  for (int i = 0; i < kHeld; ++i)
#pragma unroll
    for (int j = 0; j < kPiece; ++j) sum += held[i].v[j];
  const float mu = warp_sum(sum) / C;
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (c0 + i * kStep >= C) break;
#pragma unroll
    for (int j = 0; j < kPiece; ++j) squares += (held[i].v[j] - mu) * (held[i].v[j] - mu);
  }
  const float r = rsqrtf(warp_sum(squares) / C + eps);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int c = c0 + i * kStep;
    if (c >= C) break;
    const auto g = load4(gamma + c), b = load4(beta + c);
    Four out;
#pragma unroll
    for (int j = 0; j < kPiece; ++j) out.v[j] = (held[i].v[j] - mu) * r * g.v[j] + b.v[j];
    store4(y + c, out);
  }
}

inline void run(const LayerNorm& p) {
  need_pieces("layer_norm: C", p.C, kPiece);
  if (p.C > kMostC) throw fg::ShapeError(fg::text("layer_norm: C is ", p.C, ", this step holds ", kMostC));
  launch(normalise, Grid{dim3(unsigned(ceil_div(p.rows, kRows))), dim3(kThreads)}, p.x, p.gamma, p.beta, p.y, p.rows, p.C, p.eps);
}

}  // namespace ladder::layer_norm::sixteen_bytes
