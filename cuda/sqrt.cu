// sqrt on a GPU: see ops/formula/sqrt.hpp.
#include <framegrad/ops/formula/sqrt.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Sqrt>;
template struct UnaryKernels<bf16, formula::Sqrt>;
template struct UnaryKernels<half, formula::Sqrt>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
