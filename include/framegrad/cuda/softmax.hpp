// Launchers of softmax and log_softmax (cuda/softmax.cu) over rows of C.
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// With `logarithm`, of its logarithm.
template <class T, bool logarithm>
struct SoftmaxKernels {
  /// y [rows, C] = softmax(x [rows, C])
  static void forward(Index rows, Index C, const T* x, T* y);
  /// dx [rows, C] from y and g = ∂L/∂y, both [rows, C]
  static void backward(Index rows, Index C, const T* y, const T* g, T* dx);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
