// silu on a GPU: see ops/formula/silu.hpp.
#include <framegrad/ops/formula/silu.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Silu>;
template struct UnaryKernels<bf16, formula::Silu>;
template struct UnaryKernels<half, formula::Silu>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
