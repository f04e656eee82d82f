// attention on a GPU: which of its paths takes a problem.
#include "cuda/attention.cuh"
#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

namespace attention {
namespace {

/// Rows begin at multiples of 16 bytes.
template <class T>
bool in_pieces(const AttentionRows<T>& r, Index rows) {
  constexpr Index kPiece = 16 / Index(sizeof(T));
  return aligned16(r.data) && r.outer % kPiece == 0 && r.inner % kPiece == 0 && r.head % kPiece == 0 && (rows <= 1 || r.row % kPiece == 0);
}
/// Whether the tensor cores serve, as far as the inputs say. A maximum is taken before the scale is multiplied, which must be positive for that.
template <class T>
bool on_tensor_cores(const AttentionInputs<T>& in) {
  return sizeof(T) == 2 && in.keys > 0 && in.head_dim % 8 == 0 && in.head_dim <= 256 && in.scale > 0 && in_pieces(in.q, in.queries) && in_pieces(in.k, in.keys) && in_pieces(in.v, in.keys);
}
template <class T>
bool is_short(const AttentionInputs<T>& in) {
  return in.queries <= Short<T>::kMostRows && in.keys <= Short<T>::kMostRows && in.head_dim <= Short<T>::kMostHeadDim;
}

}  // namespace
}  // namespace attention

template <class T>
void AttentionKernels<T>::forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse) {
  using namespace attention;
  if (in.outer * in.inner * in.heads * in.queries * in.head_dim == 0) return;
  if constexpr (sizeof(T) == 2) {
    if (on_tensor_cores(in) && in_pieces(y, in.queries)) {
      if (is_short(in)) return Short<T>::forward(in, y, lse);
      return TensorCores<T>::forward(in, y, lse);
    }
  }
  Plain<T>::forward(in, y, lse);
}

template <class T>
void AttentionKernels<T>::backward(const AttentionInputs<T>& in, const AttentionRows<const T>& y, const float* lse, const AttentionRows<const T>& g, const AttentionGradients<T>& d) {
  using namespace attention;
  const Index rows = in.outer * in.inner * in.heads * in.queries;
  const bool keys_wanted = d.k.data || d.v.data, tensor = on_tensor_cores(in) && in_pieces(g, in.queries) && in_pieces(d.q, in.queries) && in_pieces(d.k, in.keys) && in_pieces(d.v, in.keys);
  const bool in_one = tensor && is_short(in) && rows && in.keys;
  if constexpr (sizeof(T) == 2) {
    if (in_one && (d.q.data || keys_wanted)) Short<T>::backward(in, g, lse, d.q, d.k, d.v);
  }
  if (in_one && !d.bias.data) return;

  const Scratch scratch(rows * Index(sizeof(Level)));
  Level* const levels = scratch.as<Level>();
  if (rows) Plain<T>::levels(in, y, g, lse, levels);
  if (d.q.data && rows && !in_one) {
    if constexpr (sizeof(T) == 2) {
      if (tensor) TensorCores<T>::backward_queries(in, g, levels, d.q);
    }
    if (!tensor) Plain<T>::backward_queries(in, g, levels, d.q);
  }
  if (keys_wanted && in.keys && !in_one) {
    if constexpr (sizeof(T) == 2) {
      if (tensor) TensorCores<T>::backward_keys(in, g, levels, d.k, d.v);
    }
    if (!tensor) Plain<T>::backward_keys(in, g, levels, d.k, d.v);
  }
  if (d.bias.data && in.keys) Plain<T>::backward_bias(in, g, levels, d.bias);
}

template struct AttentionKernels<float>;
template struct AttentionKernels<bf16>;
template struct AttentionKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
