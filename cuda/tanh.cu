// tanh on a GPU: see ops/formula/tanh.hpp.
#include <framegrad/ops/formula/tanh.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::Tanh>;
template struct UnaryKernels<bf16, formula::Tanh>;
template struct UnaryKernels<half, formula::Tanh>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
