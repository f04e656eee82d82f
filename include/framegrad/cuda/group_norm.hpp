// Launchers of group_norm, plain and with SiLU (cuda/group_norm.cu).
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// x is [N, C, S] (planes) or [N, S, C].
struct GroupShape {
  Index N, C, S, groups;
  bool planes;
};

template <class T, bool silu>
struct GroupNormKernels {
  /// gamma, beta [C] → y as x; mean, rstd [N, groups]
  static void forward(const GroupShape& s, float eps, const T* x, const T* gamma, const T* beta, T* y, float* mean, float* rstd);
  /// dx as x, dgamma, dbeta [C]: each null if nobody wants it
  static void backward(const GroupShape& s, const T* x, const T* gamma, const T* beta, const T* g, const float* mean, const float* rstd, T* dx, T* dgamma, T* dbeta);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
