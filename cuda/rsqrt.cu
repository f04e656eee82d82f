// rsqrt on a GPU: see ops/formula/rsqrt.hpp.
#include <framegrad/ops/formula/rsqrt.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Rsqrt>;
template struct UnaryKernels<bf16, formula::Rsqrt>;
template struct UnaryKernels<half, formula::Rsqrt>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
