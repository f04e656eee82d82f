// Launchers of discretised_gaussian_log_likelihood (cuda/discretised_gaussian.cu).
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct DiscretisedGaussianKernels {
  /// All [n]
  static void forward(Index n, const T* x, const T* mean, const T* log_var, T* y);
  /// dx, dmean, dlog_var [n]: each null if nobody wants it
  static void backward(Index n, const T* x, const T* mean, const T* log_var, const T* g, T* dx, T* dmean, T* dlog_var);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
