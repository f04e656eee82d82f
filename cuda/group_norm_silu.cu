// group_norm on a GPU with SiLU.
#include "cuda/group_norm.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct GroupNormKernels<float, true>;
template struct GroupNormKernels<bf16, true>;
template struct GroupNormKernels<half, true>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
