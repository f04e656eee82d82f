// Convolution of float on a GPU: see cuda/conv.cuh, cuda/conv_weight.cuh.
#include "cuda/conv_launch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
template struct ConvKernels<float>;
}  // namespace fg::inline FRAMEGRAD_ABI::cuda
