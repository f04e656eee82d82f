// sigmoid on a GPU: see ops/formula/sigmoid.hpp.
#include <framegrad/ops/formula/sigmoid.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Sigmoid>;
template struct UnaryKernels<bf16, formula::Sigmoid>;
template struct UnaryKernels<half, formula::Sigmoid>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
