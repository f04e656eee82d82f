// affine on a GPU: see ops/formula/affine.hpp.
#include <framegrad/ops/formula/affine.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Affine>;
template struct UnaryKernels<bf16, formula::Affine>;
template struct UnaryKernels<half, formula::Affine>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
