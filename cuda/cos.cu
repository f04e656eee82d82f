// cos on a GPU: see ops/formula/cos.hpp.
#include <framegrad/ops/formula/cos.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Cos>;
template struct UnaryKernels<bf16, formula::Cos>;
template struct UnaryKernels<half, formula::Cos>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
