// group_norm on a GPU, plain.
#include "cuda/group_norm.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct GroupNormKernels<float, false>;
template struct GroupNormKernels<bf16, false>;
template struct GroupNormKernels<half, false>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
