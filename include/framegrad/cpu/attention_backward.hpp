// attention, backward: a block of queries meets a block of keys, and what both need is recomputed there.
//
//   Sᵀ = K·Qᵀ + added   P = 2^(Sᵀ − lse)   Gᵀ = V·gᵀ   dSᵀ = P∘(Gᵀ − δ)           [keys, queries]; Sᵀ, lse in units of log 2
//   dV += P·g    dK += dSᵀ·(scale·q)    dQ += (dSᵀ)ᵀ·K
//
//   BackwardSequences   an item is a sequence: five products a pair of blocks
//   BackwardQueries     an item is a block of queries: dQ, three products     for few long sequences,
//   BackwardKeys        an item is a block of keys: dK and dV, four products  where five would leave threads idle
//   BackwardBias        an item is a block of the bias: its sum over whatever it was broadcast to
//
// All add up a gradient's blocks in the same order with the same products, so they give the same bits.
#pragma once

#include <framegrad/cpu/attention_added.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// Sᵀ and Gᵀ → P and dSᵀ, in place.
struct Probabilities {
  template <int B, class A>
  FRAMEGRAD_INLINE static void run(Index keys, Index queries, const A* lse, const A* delta, Panels<A> scores, Panels<A> ds) {
    using Tl = Tiling<A, B>;
    using V = typename Tl::V;
    for (Index q = 0; q < queries; q += Tl::L) {
      const V lse_q = detail::load_all<V>(lse + q) * V(A(kLog2E)), delta_q = detail::load_all<V>(delta + q);
      A *s = scores.template at<Tl>(0, q), *d = ds.template at<Tl>(0, q);
      for (Index k = 0; k < keys; ++k) {
        const V p = power(detail::load_all<V>(s + k * Tl::W) - lse_q);
        detail::store_all(s + k * Tl::W, p);
        detail::store_all(d + k * Tl::W, p * (detail::load_all<V>(d + k * Tl::W) - delta_q));
      }
    }
  }
};

/// The scratch of a thread, and the blocks packed into it. What Backward… ask of `Blocks`:
///   kQueries, kKeys                the lengths of blocks
///   Blocks(problem, dq_rows)       room for dQ of so many queries
///   take_queries, take_keys, seen, meet, add_dv, add_dk, add_dq, write_keys, write_queries
template <class T, int B>
class FmaBlocks {
 public:
  static constexpr Index kQueries = attention::kQueries, kKeys = attention::kKeys;
  using A = accum_t<T>;
  using Tl = Tiling<A, B>;
  using V = typename Tl::V;
  using P = Panels<A>;

  FRAMEGRAD_INLINE FmaBlocks(const BackwardProblem<T>& p, Index dq_rows_)
      : p_(p), D_(p.shape.head_dim), queries_(round_up(p.shape.queries < kQueries ? p.shape.queries : kQueries, Tl::kPad)),
        keys_(round_up(p.shape.keys < kKeys ? p.shape.keys : kKeys, Tl::R)) {
    const Index dq_rows = round_up(dq_rows_, Tl::kPad), across = P::template size<Tl>(D_, queries_), by_query = P::template size<Tl>(queries_, D_),
                by_key = P::template size<Tl>(keys_, D_), square = P::template size<Tl>(keys_, queries_),
                dq_size = P::template size<Tl>(dq_rows, D_);
    const auto bytes = [](Index n) { return Scratch::bytes_of<A>(n); };
    Scratch m(2 * bytes(across) + 2 * bytes(by_query) + 4 * bytes(by_key) + 3 * bytes(square) + 2 * bytes(queries_) + bytes(dq_size));
    qt_ = {m.take<A>(across), D_}, gt_ = {m.take<A>(across), D_};
    q_ = {m.take<A>(by_query), queries_}, g_ = {m.take<A>(by_query), queries_};
    k_ = {m.take<A>(by_key), keys_}, v_ = {m.take<A>(by_key), keys_};
    dk_ = {m.take<A>(by_key), keys_}, dv_ = {m.take<A>(by_key), keys_};
    prob_ = {m.take<A>(square), keys_}, ds = {m.take<A>(square), keys_};
    total = {m.take<A>(square), keys_};
    lse_ = m.take<A>(queries_), delta_ = m.take<A>(queries_);
    dq_ = {m.take<A>(dq_size), dq_rows};
  }

  /// Queries from q0 on, with their g, δ and lse. `rows`: dK or dV is wanted.
  FRAMEGRAD_INLINE void take_queries(Index sequence, Index q0, bool rows) {
    const Sequence s = p_.sequence(sequence);
    const A scale = A(p_.shape.scale);
    b.q0 = q0, b.queries = p_.query_count(q0, kQueries), padded_ = round_up(b.queries, Tl::kPad);
    const T *q = row(p_.q, s, q0), *g = row(p_.dout, s, q0), *out = row(p_.out, s, q0);
    call<PackAcross, B>(q, p_.q.row, b.queries, D_, padded_, A(p_.shape.scale * kLog2E), qt_);
    call<PackAcross, B>(g, p_.dout.row, b.queries, D_, padded_, A(1), gt_);
    if (rows) {
      call<Pack, B>(q, p_.q.row, b.queries, D_, b.queries, scale, q_);
      call<Pack, B>(g, p_.dout.row, b.queries, D_, b.queries, A(1), g_);
    }
    for (Index i = 0; i < padded_; ++i) {
      const bool inside = i < b.queries;
      const A lse = inside ? p_.lse[sequence * p_.shape.queries + q0 + i] : A(0);
      // A query that saw no key has lse −∞; +∞ makes its probabilities zero.
      lse_[i] = !inside || lse == -std::numeric_limits<A>::infinity() ? std::numeric_limits<A>::infinity() : lse;
      delta_[i] = !inside ? A(0) : sum<V>(D_, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        return l.load(g + i * p_.dout.row) * l.load(out + i * p_.out.row);
      });
    }
  }

  /// Keys from k0 on. Returns false where none is seen.
  FRAMEGRAD_INLINE bool take_keys(Index sequence, Index k0) {
    const Sequence s = p_.sequence(sequence);
    b.k0 = k0, b.keys = p_.key_count(s, k0, kKeys);
    call<Pack, B>(row(p_.k, s, k0), p_.k.row, b.keys, D_, round_up(b.keys, Tl::R), A(1), k_);
    call<Pack, B>(row(p_.v, s, k0), p_.v.row, b.keys, D_, round_up(b.keys, Tl::R), A(1), v_);
    return b.keys > 0;
  }

  /// How much of the block of keys the block of queries from q0 on sees.
  FRAMEGRAD_INLINE Seen seen(Index sequence, Index q0) const { return seen_in<B>(p_, p_.sequence(sequence), Block{q0, p_.query_count(q0, kQueries), b.k0, b.keys}); }

  /// P and dSᵀ of the two blocks.
  FRAMEGRAD_INLINE void meet(Index sequence, Seen shown) {
    const Index keys = round_up(b.keys, Tl::R);
    multiply<Tl, Left::plain>(keys, padded_, D_, k_, qt_, prob_, Start::zero);
    multiply<Tl, Left::plain>(keys, padded_, D_, v_, gt_, ds, Start::zero);
    if (p_.adds(shown)) call<AddAcross, B>(static_cast<const Problem<T>&>(p_), p_.sequence(sequence), b, prob_);
    call<Probabilities, B>(b.keys, padded_, lse_, delta_, prob_, ds);
  }

  FRAMEGRAD_INLINE void add_dv(bool first) {
    multiply<Tl, Left::plain>(round_up(b.keys, Tl::R), D_, b.queries, prob_, g_, dv_, first ? Start::zero : Start::add);
  }
  FRAMEGRAD_INLINE void add_dk(bool first) {
    multiply<Tl, Left::plain>(round_up(b.keys, Tl::R), D_, b.queries, ds, q_, dk_, first ? Start::zero : Start::add);
  }
  /// To dQ from `place` on.
  FRAMEGRAD_INLINE void add_dq(Index place, bool first) {
    multiply<Tl, Left::transposed>(padded_, D_, b.keys, ds, k_, dq_.template from_row<Tl>(place), first ? Start::zero : Start::add);
  }

  /// Writes the gradients of the current block of keys; zeros for the keys that no query sees.
  FRAMEGRAD_INLINE void write_keys(Index sequence) {
    const Sequence s = p_.sequence(sequence);
    const Index left = p_.shape.keys - b.k0, all = left < kKeys ? left : kKeys;
    for (const auto& [from, to] : {std::pair(dk_, p_.dk), std::pair(dv_, p_.dv)}) {
      if (!to.data) continue;
      call<Unpack, B>(from, b.keys, D_, row(to, s, b.k0), to.row, kSame, A(1));
      call<Unpack, B>(P{nullptr, 0}, all - b.keys, D_, row(to, s, b.k0 + b.keys), to.row, kSame, A(1));
    }
  }
  /// Writes dQ from `place` on for the queries from q0 on.
  FRAMEGRAD_INLINE void write_queries(Index sequence, Index q0, Index place) {
    const Sequence s = p_.sequence(sequence);
    T* to = row(p_.dq, s, q0);
    call<Unpack, B>(p_.seen_keys(s) ? dq_.template from_row<Tl>(place) : P{nullptr, 0}, p_.query_count(q0, kQueries), D_, to, p_.dq.row, kSame,
                    A(p_.shape.scale));
  }

  Block b{};
  P ds, total;

 private:
  static constexpr const A* kSame = nullptr;

  const BackwardProblem<T>& p_;
  Index D_, queries_, keys_, padded_ = 0;
  P qt_, gt_, q_, g_, k_, v_, dk_, dv_, dq_, prob_;
  A *lse_, *delta_;
};

/// A pair of blocks that don't see each other adds nothing to a gradient; the first of them makes it zero.
inline bool adds_to(Seen shown, Index first) { return shown != Seen::none || first == 0; }

template <template <class, int> class Blocks>
struct BackwardSequences {
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(Range items, const BackwardProblem<T>& p) {
    constexpr Index kQueries = Blocks<T, B>::kQueries, kKeys = Blocks<T, B>::kKeys;
    const Index Q = p.shape.queries, K = p.shape.keys;
    Blocks<T, B> blocks(p, Q);
    for (Index item = items.begin; item < items.end; ++item) {
      for (Index k0 = 0; k0 < K; k0 += kKeys) {
        if (blocks.take_keys(item, k0)) {
          for (Index q0 = 0; q0 < Q; q0 += kQueries) {
            const Seen shown = blocks.seen(item, q0);
            const bool keys = adds_to(shown, q0), queries = adds_to(shown, k0);
            if (!keys && !queries) continue;
            blocks.take_queries(item, q0, true);
            blocks.meet(item, shown);
            if (keys && p.dv.data) blocks.add_dv(q0 == 0);
            if (keys && p.dk.data) blocks.add_dk(q0 == 0);
            if (queries) blocks.add_dq(q0, k0 == 0);
          }
        }
        blocks.write_keys(item);
      }
      for (Index q0 = 0; q0 < Q; q0 += kQueries) blocks.write_queries(item, q0, q0);
    }
  }
};

template <template <class, int> class Blocks>
struct BackwardQueries {
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(Range items, const BackwardProblem<T>& p) {
    constexpr Index kQueries = Blocks<T, B>::kQueries, kKeys = Blocks<T, B>::kKeys;
    const Index count = p.query_blocks(kQueries);
    Blocks<T, B> blocks(p, kQueries);
    for (Index item = items.begin; item < items.end; ++item) {
      const Index sequence = item / count, q0 = item % count * kQueries;
      blocks.take_queries(sequence, q0, false);
      for (Index k0 = 0; k0 < p.shape.keys && blocks.take_keys(sequence, k0); k0 += kKeys) {
        const Seen shown = blocks.seen(sequence, q0);
        if (!adds_to(shown, k0)) continue;
        blocks.meet(sequence, shown);
        blocks.add_dq(0, k0 == 0);
      }
      blocks.write_queries(sequence, q0, 0);
    }
  }
};

template <template <class, int> class Blocks>
struct BackwardKeys {
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(Range items, const BackwardProblem<T>& p) {
    constexpr Index kQueries = Blocks<T, B>::kQueries, kKeys = Blocks<T, B>::kKeys;
    const Index count = p.key_blocks(kKeys);
    Blocks<T, B> blocks(p, 0);
    for (Index item = items.begin; item < items.end; ++item) {
      const Index sequence = item / count, k0 = item % count * kKeys;
      if (blocks.take_keys(sequence, k0)) {
        for (Index q0 = 0; q0 < p.shape.queries; q0 += kQueries) {
          const Seen shown = blocks.seen(sequence, q0);
          if (!adds_to(shown, q0)) continue;
          blocks.take_queries(sequence, q0, true);
          blocks.meet(sequence, shown);
          if (p.dv.data) blocks.add_dv(q0 == 0);
          if (p.dk.data) blocks.add_dk(q0 == 0);
        }
      }
      blocks.write_keys(sequence);
    }
  }
};

template <class T>
struct BackwardBias {
  using A = accum_t<T>;

  template <int B>
  FRAMEGRAD_INLINE static void run(Range items, const BackwardProblem<T>& p) {
    using Tl = Tiling<A, B>;
    const auto& shape = p.shape;
    const Index own_heads = p.own(p.bias.head, shape.heads), own_inner = p.own(p.bias.inner, shape.inner);
    const Index query_blocks = p.own_query_blocks(), key_blocks = p.own_key_blocks();
    const Index rows = shape.keys < kKeys ? shape.keys : kKeys, cols = shape.queries < kQueries ? shape.queries : kQueries;
    FmaBlocks<T, B> blocks(p, 0);
    for (Index item = items.begin; item < items.end; ++item) {
      const Index k0 = item % key_blocks * kKeys, q0 = item / key_blocks % query_blocks * kQueries;
      const Index i = item / key_blocks / query_blocks;
      const Sequence s{i / own_heads / own_inner, i / own_heads % own_inner, i % own_heads};
      for (Index k = 0; k < rows; ++k) {
        for (Index q = 0; q < cols; ++q) *blocks.total.template at<Tl>(k, q) = 0;
      }
      // Every sequence that this block of the bias was added to, in their order.
      for (Index o = s.outer; o < (p.bias.outer ? s.outer + 1 : shape.outer); ++o) {
        for (Index n = s.inner; n < (p.bias.inner ? s.inner + 1 : shape.inner); ++n) {
          for (Index h = s.head; h < (p.bias.head ? s.head + 1 : shape.heads); ++h) {
            add<Tl>(p, (o * shape.inner + n) * shape.heads + h, q0, k0, blocks);
          }
        }
      }
      write<Tl>(p, s, q0, k0, rows, cols, blocks.total);
    }
  }

 private:
  /// dSᵀ of one sequence, over all blocks along an axis that the bias does not have.
  template <class Tl, class Blocks>
  FRAMEGRAD_INLINE static void add(const BackwardProblem<T>& p, Index sequence, Index q_first, Index k_first, Blocks& blocks) {
    const Index q_end = p.bias.query ? q_first + 1 : p.shape.queries, k_end = p.bias.key ? k_first + 1 : p.shape.keys;
    for (Index k0 = k_first; k0 < k_end && blocks.take_keys(sequence, k0); k0 += kKeys) {
      for (Index q0 = q_first; q0 < q_end; q0 += kQueries) {
        blocks.take_queries(sequence, q0, false);
        blocks.meet(sequence, Seen::some);
        for (Index k = 0; k < blocks.b.keys; ++k) {
          for (Index q = 0; q < blocks.b.queries; ++q) *blocks.total.template at<Tl>(k, q) += *blocks.ds.template at<Tl>(k, q);
        }
      }
    }
  }

  template <class Tl>
  FRAMEGRAD_INLINE static void write(const BackwardProblem<T>& p, const Sequence& s, Index q0, Index k0, Index rows, Index cols,
                                     Panels<A> total) {
    const Index keys = !p.bias.key ? 1 : p.shape.keys - k0 < rows ? p.shape.keys - k0 : rows;
    const Index queries = !p.bias.query ? 1 : p.shape.queries - q0 < cols ? p.shape.queries - q0 : cols;
    for (Index k = 0; k < keys; ++k) {
      for (Index q = 0; q < queries; ++q) {
        A sum = 0;
        for (Index i = k; i < (p.bias.key ? k + 1 : rows); ++i) {
          for (Index j = q; j < (p.bias.query ? q + 1 : cols); ++j) sum += *total.template at<Tl>(i, j);
        }
        p.dbias[offset(p.bias, s, q0 + q, k0 + k)] = T(sum);
      }
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
