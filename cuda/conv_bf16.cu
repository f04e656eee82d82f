// Convolution of bf16 on a GPU: see cuda/conv.cuh, cuda/conv_weight.cuh.
#include "cuda/conv_launch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct ConvKernels<bf16>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
