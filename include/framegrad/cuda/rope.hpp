// Launcher of rope (cuda/rope.cu).
#pragma once

#include <framegrad/cuda/walk.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// cos θ or sin θ: a row for each position, a column for each pair.
struct RopeAngles {
  const float* data;
  Index row, column;  // strides
};

template <class T>
struct RopeKernels {
  /// y ← x turned by θ, or by −θ with direction −1. rows: the axes before the last, positions innermost, with strides of x and y; C neighbours a row,
  /// in heads of d. adjacent: pairs are neighbours; otherwise d/2 apart.
  static void turn(const Walk<2>& rows, Index C, Index d, bool adjacent, float direction, const T* x, const RopeAngles& cos, const RopeAngles& sin, T* y);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
