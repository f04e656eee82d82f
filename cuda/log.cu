// log on a GPU: see ops/formula/log.hpp.
#include <framegrad/ops/formula/log.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Log>;
template struct UnaryKernels<bf16, formula::Log>;
template struct UnaryKernels<half, formula::Log>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
