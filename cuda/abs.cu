// abs on a GPU: see ops/formula/abs.hpp.
#include <framegrad/ops/formula/abs.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Abs>;
template struct UnaryKernels<bf16, formula::Abs>;
template struct UnaryKernels<half, formula::Abs>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
