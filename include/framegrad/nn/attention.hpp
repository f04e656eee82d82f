// Self- and cross-attention with their projections.
//
//   self     (q, k, v) = x·Wᵀ + b, one product; y = attention(q, k, v)·Pᵀ + p
//   cross    q from x, (k, v) from the text
//
// Head h owns features h·d … h·d + d − 1 of each of q, k and v, which are slices of the product: nothing is copied.
// Without a graph to keep them, x goes when it is multiplied (if the caller handed it over), and q, k and v before the last product.
#pragma once

#include <utility>

#include <framegrad/nn/linear.hpp>
#include <framegrad/ops/attention.hpp>
#include <framegrad/ops/views.hpp>

namespace fg::inline FRAMEGRAD_ABI {

template <class T>
class SelfAttention {
 public:
  SelfAttention(Index hidden, Index heads, Params p, const LinearInit& proj = {})
      : heads_(heads), qkv_(hidden, 3 * hidden, p / "qkv"), proj_(hidden, hidden, p / "proj", proj) {}

  /// x [..., N, D] → [..., N, D]: over the axis before the last, for every index of those before it.
  template <int R>
  Tensor<T, R> operator()(Tensor<T, R> x, const AttentionOptions<T>& o = {}) const {
    {
      const auto [q, k, v] = chunk<3>(qkv_(std::exchange(x, {})), -1);
      x = attention(q, k, v, heads_, o);
    }
    return proj_(x);
  }

 private:
  Index heads_;
  Linear<T> qkv_, proj_;
};

template <class T>
class CrossAttention {
 public:
  CrossAttention(Index hidden, Index heads, Params p, const LinearInit& proj = {})
      : heads_(heads), q_(hidden, hidden, p / "q_linear"), kv_(hidden, 2 * hidden, p / "kv_linear"), proj_(hidden, hidden, p / "proj", proj) {}

  /// x [B, N, D], text [B, L, D] → [B, N, D].
  Tensor<T, 3> operator()(const Tensor<T, 3>& x, const Tensor<T, 3>& text, const AttentionOptions<T>& o = {}) const {
    const auto [k, v] = chunk<2>(kv_(text), -1);
    const auto y = attention(q_(x), k, v, heads_, o);
    return proj_(y);
  }

 private:
  Index heads_;
  Linear<T> q_, kv_, proj_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
