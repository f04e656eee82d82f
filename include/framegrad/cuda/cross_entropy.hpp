// Launchers of cross_entropy (cuda/cross_entropy.cu). A target that is neither a class nor ignore_index makes the loss NaN, and its row's gradient,
// since an op doesn't wait for the device to tell.
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct CrossEntropyKernels {
  /// logits [N, C], targets [N] → log_sum [N], y []
  static void forward(Index N, Index C, Index ignore_index, const T* logits, const std::int64_t* targets, float* log_sum, float* y);
  /// dlogits [N, C] from g [] = ∂L/∂y
  static void backward(Index N, Index C, Index ignore_index, const T* logits, const std::int64_t* targets, const float* log_sum, const float* g, T* dlogits);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
