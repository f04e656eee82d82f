// attention on a GPU: which of its paths takes a problem.
#include "cuda/attention.cuh"
#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
void AttentionKernels<T>::forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse) {
  if (in.outer * in.inner * in.heads * in.queries * in.head_dim == 0) return;
  attention::Plain<T>::forward(in, y, lse);
}

template <class T>
void AttentionKernels<T>::backward(const AttentionInputs<T>& in, const AttentionRows<const T>& y, const float* lse, const AttentionRows<const T>& g, const AttentionGradients<T>& d) {
  using namespace attention;
  const Index rows = in.outer * in.inner * in.heads * in.queries;
  const Scratch scratch(rows * Index(sizeof(Level)));
  Level* const levels = scratch.as<Level>();
  if (rows) Plain<T>::levels(in, y, g, lse, levels);
  if (d.q.data && rows) Plain<T>::backward_queries(in, g, levels, d.q);
  if ((d.k.data || d.v.data) && in.keys) Plain<T>::backward_keys(in, g, levels, d.k, d.v);
  if (d.bias.data && in.keys) Plain<T>::backward_bias(in, g, levels, d.bias);
}

template struct AttentionKernels<float>;
template struct AttentionKernels<bf16>;
template struct AttentionKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
