// Launcher of the sum of squares over many tensors (cuda/grad_norm.cu).
#pragma once

#include <framegrad/cuda/tensor_list.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

struct NormTensor : ListedTensor {
  const float* x;
};

/// Σ x² over all tensors, in double. Waits for the GPU.
double sum_of_squares(std::vector<NormTensor>& tensors);

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
