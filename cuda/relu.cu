// relu on a GPU: see ops/formula/relu.hpp.
#include <framegrad/ops/formula/relu.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Relu>;
template struct UnaryKernels<bf16, formula::Relu>;
template struct UnaryKernels<half, formula::Relu>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
