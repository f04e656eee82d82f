// equal, less and the other comparisons on a GPU: see ops/formula/compare.hpp.
#include <framegrad/ops/formula/compare.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct CompareKernels<float, formula::Equal>;
template struct CompareKernels<bf16, formula::Equal>;
template struct CompareKernels<half, formula::Equal>;
template struct CompareKernels<float, formula::NotEqual>;
template struct CompareKernels<bf16, formula::NotEqual>;
template struct CompareKernels<half, formula::NotEqual>;
template struct CompareKernels<float, formula::Less>;
template struct CompareKernels<bf16, formula::Less>;
template struct CompareKernels<half, formula::Less>;
template struct CompareKernels<float, formula::LessEqual>;
template struct CompareKernels<bf16, formula::LessEqual>;
template struct CompareKernels<half, formula::LessEqual>;
template struct CompareKernels<float, formula::Greater>;
template struct CompareKernels<bf16, formula::Greater>;
template struct CompareKernels<half, formula::Greater>;
template struct CompareKernels<float, formula::GreaterEqual>;
template struct CompareKernels<bf16, formula::GreaterEqual>;
template struct CompareKernels<half, formula::GreaterEqual>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
