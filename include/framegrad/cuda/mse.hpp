// Launchers of mse (cuda/mse.cu).
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct MseKernels {
  /// y [] = mean((a − b)²) over n numbers
  static void forward(Index n, const T* a, const T* b, float* y);
  /// da, db [n] from g [] = ∂L/∂y: each null if nobody wants it
  static void backward(Index n, const T* a, const T* b, const float* g, T* da, T* db);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
