// attention forward on tensor cores, in half: see attention_forward.cuh.
#include "cuda/attention_forward.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
template void TensorCores<half>::forward(const AttentionInputs<half>&, const AttentionRows<half>&, float*);
}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
