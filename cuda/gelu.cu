// gelu on a GPU: see ops/formula/gelu.hpp.
#include <framegrad/ops/formula/gelu.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Gelu>;
template struct UnaryKernels<bf16, formula::Gelu>;
template struct UnaryKernels<half, formula::Gelu>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
