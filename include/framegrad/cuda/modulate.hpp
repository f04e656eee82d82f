// Launchers of modulate (cuda/modulate.cu).
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct ModulateKernels {
  /// y = x·(1 + scale) + shift.  x, y [groups, rows, C]; shift, scale [groups, C]
  static void forward(Index groups, Index rows, Index C, const T* x, const T* shift, const T* scale, T* y);
  /// dx [groups, rows, C], dshift, dscale [groups, C]: each null if nobody wants it
  static void backward(Index groups, Index rows, Index C, const T* x, const T* scale, const T* g, T* dx, T* dshift, T* dscale);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
