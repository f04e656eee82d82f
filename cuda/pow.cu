// pow on a GPU: see ops/formula/pow.hpp.
#include <framegrad/ops/formula/pow.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Pow>;
template struct UnaryKernels<bf16, formula::Pow>;
template struct UnaryKernels<half, formula::Pow>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
