// Launchers of geglu (cuda/geglu.cu).
#pragma once

#include <framegrad/core/config.hpp>
#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// x and dx [rows, 2C], y and g [rows, C], row-major.
template <class T>
struct GegluKernels {
  static void forward(Index rows, Index C, const T* x, T* y);
  static void backward(Index rows, Index C, const T* x, const T* g, T* dx);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
