// What attention is asked for: sizes, strided views, masks and bias, and how the work is cut into blocks.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/attention_panel.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

struct AttentionShape {
  Index outer, inner, heads;  // outer·inner·heads sequences
  Index queries, keys, head_dim;
  double scale;
};

/// Rows of head_dim contiguous numbers: strides, in elements, of both batch indices, head and position.
template <class T>
struct AttentionView {
  T* data = nullptr;
  Index outer = 0, inner = 0, head = 0, row = 0;
};

/// Which keys a query sees. Each pointer may be null: all of them.
struct AttentionMask {
  const std::int32_t* key_lengths = nullptr;  // [outer]: keys from there on are not seen
  const std::uint8_t* seen = nullptr;         // 0: this query does not see this key
  Index outer = 0, inner = 0, head = 0, query = 0, key = 0;
};

/// Added to the scaled scores. Any stride may be 0.
template <class T>
struct AttentionBias {
  T* data = nullptr;
  Index outer = 0, inner = 0, head = 0, query = 0, key = 0;
};

namespace attention {

/// A block of probabilities, 32 KiB of f32, and what it is made of stay in L2; a panel of it stays in L1.
inline constexpr Index kQueries = 64, kKeys = 128;

/// Of a block's keys, by its queries.
enum class Seen : std::uint8_t { none, some, all };

struct Sequence {
  Index outer, inner, head;
};

template <class T>
struct Problem {
  using A = accum_t<T>;
  AttentionShape shape;
  AttentionMask mask;
  AttentionBias<const T> bias;
  AttentionView<const T> q, k, v;

  Index sequences() const { return shape.outer * shape.inner * shape.heads; }
  Index query_blocks(Index length = kQueries) const { return (shape.queries + length - 1) / length; }
  Index key_blocks(Index length = kKeys) const { return (shape.keys + length - 1) / length; }
  Sequence sequence(Index i) const { return {i / shape.heads / shape.inner, i / shape.heads % shape.inner, i % shape.heads}; }
  Index query_count(Index q0, Index length = kQueries) const { return shape.queries - q0 < length ? shape.queries - q0 : length; }
  Index key_count(const Sequence& s, Index k0, Index length = kKeys) const {
    const Index left = seen_keys(s) - k0;
    return left < 0 ? 0 : left < length ? left : length;
  }
  Index seen_keys(const Sequence& s) const {
    if (shape.queries == 0 || !mask.key_lengths) return shape.queries == 0 ? 0 : shape.keys;
    const Index n = mask.key_lengths[s.outer];
    return n < 0 ? 0 : n < shape.keys ? n : shape.keys;
  }
  /// Something is added to the scores.
  bool adds() const { return bias.data || mask.seen; }
  bool adds(Seen shown) const { return bias.data || shown != Seen::all; }  // in a block
  /// Nanoseconds of `products` products of all queries of a sequence with all of its keys, at about 50 GFLOP/s.
  double product_ns(int products) const { return 0.04 * products * double(shape.queries) * double(shape.keys) * double(shape.head_dim) + 500; }
};

template <class T>
struct BackwardProblem : Problem<T> {
  AttentionView<const T> out, dout;
  const accum_t<T>* lse;
  AttentionView<T> dq, dk, dv;
  T* dbias;

  double sequence_ns() const { return this->product_ns(5); }

  /// Seven products on all threads against five on those that whole sequences, of so many pairs of blocks, keep busy.
  bool whole_sequences(int threads, Index pairs) const {
    const Index n = this->sequences(), rounds = (n + threads - 1) / threads;
    return 5 * rounds * threads <= 7 * n || pairs == 1;
  }

  /// The axes of the bias that are its own; along the others it was broadcast.
  Index own(Index stride, Index size) const { return stride == 0 ? 1 : size; }
  Index own_query_blocks() const { return own(this->bias.query, this->query_blocks()); }
  Index own_key_blocks() const { return own(this->bias.key, this->key_blocks()); }
  Index bias_sequences() const {
    return own(this->bias.outer, this->shape.outer) * own(this->bias.inner, this->shape.inner) * own(this->bias.head, this->shape.heads);
  }
  Index bias_items() const { return bias_sequences() * own_query_blocks() * own_key_blocks(); }
  double bias_item_ns() const { return this->product_ns(2) * double(this->sequences()) / double(bias_items()); }
};

template <class T> FRAMEGRAD_INLINE T* row(const AttentionView<T>& view, const Sequence& s, Index position) {
  return view.data + s.outer * view.outer + s.inner * view.inner + s.head * view.head + position * view.row;
}
template <class M> FRAMEGRAD_INLINE Index offset(const M& m, const Sequence& s, Index query, Index key) {
  return s.outer * m.outer + s.inner * m.inner + s.head * m.head + query * m.query + key * m.key;
}

/// A block of queries against a block of keys.
struct Block {
  Index q0, queries, k0, keys;
};

}  // namespace attention
}  // namespace fg::inline FRAMEGRAD_ABI::cpu
