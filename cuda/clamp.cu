// clamp on a GPU: see ops/formula/clamp.hpp.
#include <framegrad/ops/formula/clamp.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Clamp>;
template struct UnaryKernels<bf16, formula::Clamp>;
template struct UnaryKernels<half, formula::Clamp>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
