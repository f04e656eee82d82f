// upsample_nearest on a GPU: see ops/upsample_nearest.hpp.
#include "cuda/resample.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct ResampleKernels<float, NearestAxis>;
template struct ResampleKernels<bf16, NearestAxis>;
template struct ResampleKernels<half, NearestAxis>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
