// gelu_tanh on a GPU: see ops/formula/gelu_tanh.hpp.
#include <framegrad/ops/formula/gelu_tanh.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct UnaryKernels<float, formula::GeluTanh>;
template struct UnaryKernels<bf16, formula::GeluTanh>;
template struct UnaryKernels<half, formula::GeluTanh>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
