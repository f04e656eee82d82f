// exp on a GPU: see ops/formula/exp.hpp.
#include <framegrad/ops/formula/exp.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Exp>;
template struct UnaryKernels<bf16, formula::Exp>;
template struct UnaryKernels<half, formula::Exp>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
