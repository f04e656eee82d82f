// attention backward on tensor cores, in half: see attention_backward.cuh.
#include "cuda/attention_backward.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
template void TensorCores<half>::backward_queries(const AttentionInputs<half>&, const AttentionRows<const half>&, const Level*, const AttentionRows<half>&);
template void TensorCores<half>::backward_keys(const AttentionInputs<half>&, const AttentionRows<const half>&, const Level*, const AttentionRows<half>&, const AttentionRows<half>&);
}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
