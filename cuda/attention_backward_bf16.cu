// attention backward on tensor cores, in bf16: see attention_backward.cuh.
#include "cuda/attention_backward.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
template void TensorCores<bf16>::backward_queries(const AttentionInputs<bf16>&, const AttentionRows<const bf16>&, const Level*, const AttentionRows<bf16>&);
template void TensorCores<bf16>::backward_keys(const AttentionInputs<bf16>&, const AttentionRows<const bf16>&, const Level*, const AttentionRows<bf16>&, const AttentionRows<bf16>&);
}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
