// attention forward on tensor cores, in bf16: see attention_forward.cuh.
#include "cuda/attention_forward.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
template void TensorCores<bf16>::forward(const AttentionInputs<bf16>&, const AttentionRows<bf16>&, float*);
}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
