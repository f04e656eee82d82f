// Launchers of rms_norm (cuda/layer_norm.cuh).
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct RmsNormKernels {
  /// y = x̂·gamma.  x, y [rows, C]; gamma [C]; rstd [rows], or null if nobody wants it
  static void forward(Index rows, Index C, float eps, const T* x, const T* gamma, T* y, float* rstd);
  /// dx [rows, C], dgamma [C]: each null if nobody wants it
  static void backward(Index rows, Index C, const T* x, const T* gamma, const T* g, const float* rstd, T* dx, T* dgamma);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
