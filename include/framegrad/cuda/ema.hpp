// Launcher of the moving average of many tensors (cuda/ema.cu).
#pragma once

#include <framegrad/cuda/tensor_list.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

struct EmaTensor : ListedTensor {
  float* average;
  const void* low;  // the weight, of type low_dtype
};

/// average ← decay·average + rest·weight for all tensors, in one launch.
void ema_update(std::vector<EmaTensor>& tensors, float decay, float rest);

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
