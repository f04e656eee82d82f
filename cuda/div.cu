// div on a GPU: see ops/formula/div.hpp.
#include <framegrad/ops/formula/div.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct BinaryKernels<float, formula::Div>;
template struct BinaryKernels<bf16, formula::Div>;
template struct BinaryKernels<half, formula::Div>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
