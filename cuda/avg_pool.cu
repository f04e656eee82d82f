// avg_pool on a GPU: see ops/avg_pool.hpp.
#include "cuda/resample.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct ResampleKernels<float, PoolAxis>;
template struct ResampleKernels<bf16, PoolAxis>;
template struct ResampleKernels<half, PoolAxis>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
