// What attention's kernels share: where a sequence lies, what is added to its scores, and the paths that launch them.
//
//   plain   f32 products by FMA          any type, head_dim and alignment                         attention_plain.cu, attention_bias.cu
//   tensor  products by mma.sync         bf16 and half, rows of 16-byte pieces, head_dim ≤ 256    attention_forward.cuh, attention_backward.cuh
//   short   a warp owns a sequence       as tensor, at most 32 queries and keys, head_dim ≤ 128   attention_short.cu
//
// Scores are kept in units of log 2, so that a probability is one exp2: s·log2 e = q·k·scale·log2 e + added·log2 e.
#pragma once

#include <framegrad/cuda/attention.hpp>

#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {

inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// Minus infinity: the score of a key that is not seen.
__device__ __forceinline__ float unseen() { return -INFINITY; }

/// Which of a problem's sequences. 32 bits each: kernels keep it in registers.
struct Sequence {
  int outer, inner, head;
};
template <class T>
__device__ __forceinline__ Sequence sequence(const AttentionInputs<T>& in, int i) {
  const int heads = int(in.heads), inner = int(in.inner);
  return {i / heads / inner, i / heads % inner, i % heads};
}
template <class T>
__device__ __forceinline__ T* rows_of(const AttentionRows<T>& r, const Sequence& s) {
  return r.data + s.outer * r.outer + s.inner * r.inner + s.head * r.head;
}
template <class T>
__device__ __forceinline__ int seen_keys(const AttentionInputs<T>& in, const Sequence& s) {
  if (!in.key_lengths) return int(in.keys);
  return int(max(Index(0), min(Index(in.key_lengths[s.outer]), in.keys)));
}

/// What is added to the scores of a sequence, over queries and keys: the bias, and −∞ where a key is not seen. Made where it is used: kernels that hold
/// it across their products have no registers left for those.
template <class T>
class Added {
 public:
  __device__ __forceinline__ static bool any(const AttentionInputs<T>& in) { return in.bias.data || in.seen.data; }

  __device__ __forceinline__ Added(const AttentionInputs<T>& in, const Sequence& s)
      : in_(in), bias_(in.bias.data + s.outer * in.bias.outer + s.inner * in.bias.inner + s.head * in.bias.head),
        seen_(in.seen.data + s.outer * in.seen.outer + s.inner * in.seen.inner + s.head * in.seen.head) {}

  /// A score in units of log 2, with what is added to it; the query and the key exist.
  __device__ __forceinline__ float to(float score, int query, int key) const {
    if (in_.seen.data && !seen_[query * in_.seen.query + key * in_.seen.key]) return unseen();
    return in_.bias.data ? fmaf(to_float(bias_[query * in_.bias.query + key * in_.bias.key]), kLog2E, score) : score;
  }

 private:
  const AttentionInputs<T>& in_;
  const T* bias_;
  const std::uint8_t* seen_;
};

/// Where a sequence's queries begin in arrays of a number for each query.
template <class T>
__device__ __forceinline__ Index first_query(const AttentionInputs<T>& in, const Sequence& s) {
  return ((s.outer * in.inner + s.inner) * in.heads + s.head) * in.queries;
}

/// What backward subtracts for a query: from its scores log Σ e^s in units of log 2 (+∞ if it saw no key: its probabilities are zero), and from the
/// gradients of its probabilities δ = Σ g·y.
struct alignas(8) Level {
  float lse, delta;
};
__device__ __forceinline__ Level level_of(const Level* levels, int query, int queries) { return query < queries ? levels[query] : Level{INFINITY, 0.0f}; }

/// Blocks of a launch with `tiles` for each of `sequences`.
inline unsigned blocks(Index sequences, Index tiles) {
  if (sequences * tiles > 0x7fffffff) throw ShapeError(text("attention: ", sequences, " sequences with ", tiles, " tiles each; at most 2147483647 tiles in all are possible"));
  return unsigned(sequences * tiles);
}
constexpr Index ceil_div(Index n, Index d) { return (n + d - 1) / d; }

template <class T>
struct Plain {
  static void forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse);
  /// [sequences, queries]
  static void levels(const AttentionInputs<T>& in, const AttentionRows<const T>& y, const AttentionRows<const T>& g, const float* lse, Level* levels);
  static void backward_queries(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dq);
  static void backward_keys(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dk, const AttentionRows<T>& dv);
  static void backward_bias(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionPlane<T>& dbias);
};

/// For bf16 and half.
template <class T>
struct TensorCores {
  static void forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse);
  static void backward_queries(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dq);
  static void backward_keys(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dk, const AttentionRows<T>& dv);
};
template <class T>
struct Short {
  static constexpr Index kMostRows = 32, kMostHeadDim = 128;
  static void forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse);
  static void backward(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const float* lse, const AttentionRows<T>& dq, const AttentionRows<T>& dk, const AttentionRows<T>& dv);
};

/// Calls f with the smallest of the sizes that holds a head_dim of d, as a constant. d is at most the last.
template <int D, int... More, class F>
void with_head_dim(Index d, F&& f) {
  if constexpr (sizeof...(More) == 0) {
    f(std::integral_constant<int, D>{});
  } else {
    if (d <= D) f(std::integral_constant<int, D>{});
    else with_head_dim<More...>(d, f);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
