// 3 × 3 × 3 convolution of a clip that lies channels-last, its edges padded with zeros so that it keeps its size:
//
//   y[t, h, w, o] = Σ_{tap, c} x[(t, h, w) + tap − 1, c]·weights[o, tap, c]
#pragma once

#include "bench/ladder/rung.hpp"

namespace ladder {

inline constexpr int kKernel = 3, kTaps = kKernel * kKernel * kKernel;

struct Conv3d {
  int T, H, W, C, O;
  const float *x, *weights;         // [T, H, W, C], [O, 3, 3, 3, C]
  const bf16 *x16, *weights16;      // the same, for the rungs on tensor cores
  float* y;                         // [T, H, W, O]

  int positions() const { return T * H * W; }
  double flops() const { return 2.0 * positions() * O * kTaps * C; }
  double least_bytes(bool bf16) const { return (double(positions()) * C + double(O) * kTaps * C) * (bf16 ? 2 : 4) + 4.0 * positions() * O; }
};

/// Where a position lies in the clip, and where a tap takes it.
struct Cell {
  int t, h, w;
};
__device__ __forceinline__ Cell cell_of(int position, int H, int W) { return {position / (H * W), position / W % H, position % W}; }
__device__ __forceinline__ Cell moved(Cell p, int tap) {
  return {p.t + tap / (kKernel * kKernel) - kKernel / 2, p.h + tap / kKernel % kKernel - kKernel / 2, p.w + tap % kKernel - kKernel / 2};
}
__device__ __forceinline__ bool inside(Cell p, int T, int H, int W) { return unsigned(p.t) < unsigned(T) && unsigned(p.h) < unsigned(H) && unsigned(p.w) < unsigned(W); }
__device__ __forceinline__ Index row_of(Cell p, int H, int W) { return (Index(p.t) * H + p.h) * W + p.w; }

}  // namespace ladder
