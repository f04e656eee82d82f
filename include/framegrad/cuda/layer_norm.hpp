// Launchers of layer_norm and layer_norm_modulate (cuda/layer_norm.cuh): rows of C in groups that share a gain and a bias.
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// groups · rows rows; a row's gain is `offset` + what lies in `gain`.
struct NormShape {
  Index groups, rows, C;
  float offset = 0;
};

template <class T>
struct LayerNormKernels {
  /// y = x̂·gain + bias.  x, y [groups, rows, C]; gain, bias [groups, C] or null (1 and 0); mean, rstd [groups, rows], or null if nobody wants them
  static void forward(const NormShape& s, float eps, const T* x, const T* gain, const T* bias, T* y, float* mean, float* rstd);
  /// dx [groups, rows, C], dgain, dbias [groups, C]: each null if nobody wants it
  static void backward(const NormShape& s, const T* x, const T* gain, const T* g, const float* mean, const float* rstd, T* dx, T* dgain, T* dbias);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
