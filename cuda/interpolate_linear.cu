// interpolate_linear on a GPU: see ops/interpolate_linear.hpp.
#include "cuda/resample.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct ResampleKernels<float, LinearAxis>;
template struct ResampleKernels<bf16, LinearAxis>;
template struct ResampleKernels<half, LinearAxis>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
