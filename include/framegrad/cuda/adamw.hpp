// Launcher of AdamW's step over many tensors (cuda/adamw.cu).
#pragma once

#include <framegrad/cuda/tensor_list.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

struct AdamWTensor : ListedTensor {
  const float* grad;
  float *m, *v, *w;  // w: the weight itself, or the master of a 16-bit one
  void* low;         // that weight; null where w is it
  float scale, keep, beta1, rest1, beta2, rest2, rate, correction2, eps;  // optim/adamw.hpp
};

/// One step of all tensors, in one launch.
void adamw_step(std::vector<AdamWTensor>& tensors);

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
