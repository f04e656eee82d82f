// sin on a GPU: see ops/formula/sin.hpp.
#include <framegrad/ops/formula/sin.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Sin>;
template struct UnaryKernels<bf16, formula::Sin>;
template struct UnaryKernels<half, formula::Sin>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
