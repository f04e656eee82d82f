// maximum on a GPU: see ops/formula/maximum.hpp.
#include <framegrad/ops/formula/maximum.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct BinaryKernels<float, formula::Maximum>;
template struct BinaryKernels<bf16, formula::Maximum>;
template struct BinaryKernels<half, formula::Maximum>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
