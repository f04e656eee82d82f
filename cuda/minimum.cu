// minimum on a GPU: see ops/formula/minimum.hpp.
#include <framegrad/ops/formula/minimum.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct BinaryKernels<float, formula::Minimum>;
template struct BinaryKernels<bf16, formula::Minimum>;
template struct BinaryKernels<half, formula::Minimum>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
