// sub on a GPU: see ops/formula/sub.hpp.
#include <framegrad/ops/formula/sub.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct BinaryKernels<float, formula::Sub>;
template struct BinaryKernels<bf16, formula::Sub>;
template struct BinaryKernels<half, formula::Sub>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
