// sum, mean, var, and the sums that undo a broadcast, on a GPU: see ops/sum.hpp, ops/var.hpp.
#include "cuda/reduce.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct ReduceKernels<float>;
template struct ReduceKernels<bf16>;
template struct ReduceKernels<half>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
