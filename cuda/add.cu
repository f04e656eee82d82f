// add on a GPU: see ops/formula/add.hpp.
#include <framegrad/ops/formula/add.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct BinaryKernels<float, formula::Add>;
template struct BinaryKernels<bf16, formula::Add>;
template struct BinaryKernels<half, formula::Add>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
