// Launchers of attention (cuda/attention.cu). All strides count elements; head_dim numbers are neighbours in every operand but the bias.
#pragma once

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Rows of head_dim numbers: strides of both batch indices, head and position.
template <class T>
struct AttentionRows {
  T* data = nullptr;
  Index outer = 0, inner = 0, head = 0, row = 0;
};

/// A number for each query and key: a bias, or a mask. A stride of 0 repeats.
template <class T>
struct AttentionPlane {
  T* data = nullptr;
  Index outer = 0, inner = 0, head = 0, query = 0, key = 0;
};

template <class T>
struct AttentionInputs {
  Index outer, inner, heads, queries, keys, head_dim;  // outer·inner·heads sequences
  float scale;
  AttentionRows<const T> q, k, v;
  const std::int32_t* key_lengths;                     // [outer]: keys from there on are not seen; may be null
  AttentionPlane<const T> bias;                        // added to the scaled scores; may be null
  AttentionPlane<const std::uint8_t> seen;             // 0: this query does not see this key; may be null
};

/// What backward writes; each may be null. dbias is strided as the bias is, with 0 where it was repeated.
template <class T>
struct AttentionGradients {
  AttentionRows<T> q, k, v;
  AttentionPlane<T> bias;
};

template <class T>
struct AttentionKernels {
  /// y, and lse [outer, inner, heads, queries] = log Σ e^s unless it is null
  static void forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse);
  /// g = ∂L/∂y, with what forward gave
  static void backward(const AttentionInputs<T>& in, const AttentionRows<const T>& y, const float* lse, const AttentionRows<const T>& g, const AttentionGradients<T>& d);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
