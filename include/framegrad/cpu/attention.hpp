// attention — softmax(scale·q·kᵀ + bias)·v and its gradient, on pointers and strides.
//
//   s = scale·q·kᵀ + bias      −∞ where a key is not seen     lse = log Σ e^s over the keys
//   p = e^(s − lse)            out = p·v
//
// Gradient, with g = ∂L/∂out and δ = Σ g·out over head_dim (Dao et al. 2022, arXiv:2205.14135, appendix B.2):
//   ∂L/∂v = pᵀ·g     ds = p∘(g·vᵀ − δ) = ∂L/∂bias     ∂L/∂q = scale·ds·k     ∂L/∂k = scale·dsᵀ·q
//
// No queries × keys buffer exists in either direction, unless both are few (attention_few.hpp): blocks of queries meet blocks of keys in a scratch of each thread.
// Forward carries the running maximum and sum of a query from block to block (Milakov, Gimelshein 2018, arXiv:1805.02867).
// A query that sees no key has output, gradients zero, and lse −∞.
//
// A sequence is named by two batch indices (outer, inner) and a head: what stands before the positions in [B, T, S, heads, D]
// is any two axes of it. head_dim is contiguous in every operand; all other strides are free, and count elements.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/attention_pairs.hpp>
#include <framegrad/cpu/attention_pairs_backward.hpp>
#include <framegrad/cpu/attention_few.hpp>
#include <framegrad/cpu/attention_forward.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace attention {

/// Short sequences have kernels of their own in the types that are trained in; the others would cost compile time for nothing.
template <class T> inline constexpr bool kHasFew = std::is_same_v<T, float> || std::is_same_v<T, bf16>;

struct OnAny {
  template <class K, class... A> static void run(const A&... a) { dispatch<K>(a...); }
};
#if defined(__x86_64__)
struct OnWidest {
  template <class K, class... A> static void run(const A&... a) { run64<K>(a...); }
};
#endif

/// dq, dk, dv of a sequence in about `ns`.
template <template <class, int> class Blocks, class On, class T>
void backward_by(const BackwardProblem<T>& p, double ns) {
  const Index query_blocks = p.query_blocks(Blocks<T, 64>::kQueries), key_blocks = p.key_blocks(Blocks<T, 64>::kKeys), n = p.sequences();
  const bool queries = p.dq.data, keys = p.dk.data || p.dv.data;
  if (queries && keys && p.whole_sequences(threads(), query_blocks * key_blocks)) {
    return parallel_for(n, ns, [&](Range r) { On::template run<BackwardSequences<Blocks>>(r, p); }, 1, 16);  // few, and each takes milliseconds
  }
  if (queries) parallel_for(n * query_blocks, ns / double(query_blocks), [&](Range r) { On::template run<BackwardQueries<Blocks>>(r, p); }, 1, 16);
  if (keys) parallel_for(n * key_blocks, ns / double(key_blocks), [&](Range r) { On::template run<BackwardKeys<Blocks>>(r, p); }, 1, 16);
}

/// dq, dk, dv.
template <class T>
void backward_rows(const BackwardProblem<T>& p) {
  const double ns = p.sequence_ns();
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, bf16>) {
    // Of fewer keys than two tiles' the register tiles, slower than AMX's, would multiply padding more than they gain.
    const bool rows_instead = isa() != Isa::amx && p.shape.keys < 64 && served_by_rows(p.shape);
    if (served_by_pairs(p.shape) && !rows_instead) return backward_by<PairBlocks, OnWidest>(p, ns / 8);
    if (served_by_row_pairs(p.shape)) return parallel_for(p.sequences(), ns / 2, [&](Range r) { run64<BackwardFew<T, true>>(r, p); });
  }
#endif
  if constexpr (kHasFew<T>) {
    if (served_by_rows(p.shape)) return parallel_for(p.sequences(), ns, [&](Range r) { dispatch<BackwardFew<T>>(r, p); });
  }
  backward_by<FmaBlocks, OnAny>(p, ns);
}

}  // namespace attention

/// q, k, v → out, and lse [outer, inner, heads, queries] unless it is null.
template <class T>
void attention_forward(const AttentionShape& shape, const AttentionMask& mask, const AttentionBias<const T>& bias,
                       AttentionView<const T> q, AttentionView<const T> k, AttentionView<const T> v, AttentionView<T> out,
                       accum_t<T>* lse = nullptr) {
  const attention::ForwardProblem<T> p{{shape, mask, bias, q, k, v}, out, lse};
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, bf16>) {
    if (attention::served_by_pairs(shape)) {
      return parallel_for(p.forward_items(), p.item_ns() / 4, [&](Range items) { run64<attention::ForwardPairs>(items, p); });
    }
    if (attention::served_by_row_pairs(shape)) {
      return parallel_for(p.forward_items(), p.item_ns() / 2, [&](Range items) { run64<attention::ForwardFew<T, true>>(items, p); });
    }
  }
#endif
  if constexpr (attention::kHasFew<T>) {
    if (attention::served_by_rows(shape)) {
      return parallel_for(p.forward_items(), p.item_ns(), [&](Range items) { dispatch<attention::ForwardFew<T>>(items, p); });
    }
  }
  parallel_for(p.forward_items(), p.item_ns(), [&](Range items) { dispatch<attention::Forward<T>>(items, p); });
}

/// dout, and what forward took and gave → dq, dk, dv, dbias: each unless its data is null. A gradient's rows must not overlap;
/// dbias has the bias's strides, and each of its numbers is the sum over whatever the bias was broadcast to.
template <class T>
void attention_backward(const AttentionShape& shape, const AttentionMask& mask, const AttentionBias<const T>& bias,
                        AttentionView<const T> q, AttentionView<const T> k, AttentionView<const T> v, AttentionView<const T> out,
                        const accum_t<T>* lse, AttentionView<const T> dout, AttentionView<T> dq, AttentionView<T> dk,
                        AttentionView<T> dv, T* dbias = nullptr) {
  using namespace attention;
  const BackwardProblem<T> p{{shape, mask, bias, q, k, v}, out, dout, lse, dq, dk, dv, dbias};
  if (dq.data || dk.data || dv.data) backward_rows(p);
  if (dbias) parallel_for(p.bias_items(), p.bias_item_ns(), [&](Range r) { dispatch<BackwardBias<T>>(r, p); });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
