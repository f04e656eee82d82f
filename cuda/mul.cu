// mul on a GPU: see ops/formula/mul.hpp.
#include <framegrad/ops/formula/mul.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct BinaryKernels<float, formula::Mul>;
template struct BinaryKernels<bf16, formula::Mul>;
template struct BinaryKernels<half, formula::Mul>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
