// attention to few keys, forward and backward: the frames of one patch, or a caption's words. There are thousands of such sequences,
// and what lies around the products counts as much as they do.
//
// Queries are lanes, a vector of them at a time; keys, values and what is summed over rows stay where they lie (attention_rows.hpp).
//
//   S = K·Qᵀ + added                         [keys][lane]      c = scale·log₂e is in Qᵀ: scores in units of log 2
//   P = 2^(S − m)/Σ    out = Pᵀ·V             all keys are there at once: nothing runs along
//
//   P = 2^(S − lse)    G = V·gᵀ               [keys][query]
//   δ = Σ P∘G          dS = P∘(G − δ)         over the keys, which is Σ g·out over head_dim: `out` is not read
//   dV = P·g   dK = scale·dS·q   dQ = scale·dSᵀ·K
#pragma once

#include <algorithm>

#include <framegrad/cpu/attention_few_pairs.hpp>
#include <framegrad/cpu/attention_forward.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// Scores of so many, in f32, stay in the second cache.
inline constexpr Index kFewKeys = 64, kFewQueries = 256;

/// A row has a vector's numbers at least, and a sequence's rows fit the first two caches.
inline bool served_by_rows(const AttentionShape& s) {
  return s.keys > 0 && s.keys <= kFewKeys && s.queries > 0 && s.queries <= kFewQueries && s.head_dim >= 16 && s.head_dim <= 128;
}

/// Rows are of whole pairs, and these fill a vector. AMX's processors do as before: this wasn't measured there.
inline bool served_by_row_pairs(const AttentionShape& s) {
  return isa() == Isa::avx512_bf16 && served_by_rows(s) && s.head_dim >= 32 && s.head_dim % 2 == 0;
}

template <class P>
FRAMEGRAD_INLINE Rows<P> rows_of(const AttentionView<P>& x, const Sequence& s, Index first = 0) { return {row(x, s, first), x.row}; }

/// Fetches rows of the sequences that come next into the second cache, while the heads of a batch index pass each its share of them:
/// whole rows, since a head's piece of each would be the beginning of a stream that never goes on.
class FetchNext {
 public:
  FRAMEGRAD_INLINE explicit FetchNext(const AttentionShape& shape)
      : shape_(shape), keys_((shape.keys + shape.heads - 1) / shape.heads), queries_((shape.queries + shape.heads - 1) / shape.heads) {}

  /// From now on beside this sequence, once what was left beside the last one is fetched.
  FRAMEGRAD_INLINE void beside(const Sequence& s) {
    while (at_ < end_) {
      const Lines l = take(1);
      __builtin_prefetch(l.data, 0, 2), __builtin_prefetch(l.data + 64, 0, 2);
    }
    at_ = end_ = 0;
    const bool last = s.inner + 1 == shape_.inner;
    next_ = {s.outer + last, last ? 0 : s.inner + 1, 0}, head_ = s.head;
  }
  template <class P> FRAMEGRAD_INLINE void keys(const AttentionView<P>& x) { rows(x, shape_.keys, keys_); }
  template <class P> FRAMEGRAD_INLINE void queries(const AttentionView<P>& x) { rows(x, shape_.queries, queries_); }

  /// Of a row what is still to be fetched, but at most so many pairs of lines; where there is nothing, so many times the same pair.
  struct Lines {
    const char* data;
    Index stride, pairs;
  };
  FRAMEGRAD_INLINE Lines take(Index most) {
    if (at_ == end_) return {reinterpret_cast<const char*>(this), 0, most};
    const Index left = (left_ + 127) / 128;
    const Lines lines{next_line_, 128, left < most ? left : most};
    next_line_ += lines.pairs * 128, left_ -= lines.pairs * 128;
    if (left_ <= 0) next_row();
    return lines;
  }

 private:
  struct Piece {
    const char* data;
    Index stride, bytes, rows;
  };

  template <class P>
  FRAMEGRAD_INLINE void rows(const AttentionView<P>& x, Index count, Index share) {
    const Index begin = head_ * share, rows = count - begin < share ? count - begin : share;
    if (!x.data || x.head != shape_.head_dim || next_.outer == shape_.outer || rows <= 0) return;
    pieces_[end_] = {reinterpret_cast<const char*>(row(x, next_, begin)), x.row * Index(sizeof(P)), shape_.heads * shape_.head_dim * Index(sizeof(P)), rows};
    if (at_ == end_++) next_line_ = pieces_[at_].data, left_ = pieces_[at_].bytes;
  }
  FRAMEGRAD_INLINE void next_row() {
    Piece& p = pieces_[at_];
    if (--p.rows == 0) ++at_;
    else p.data += p.stride;
    next_line_ = pieces_[at_].data, left_ = pieces_[at_].bytes;
  }

  const AttentionShape& shape_;
  Index keys_, queries_, head_ = 0, left_ = 0;
  int at_ = 0, end_ = 0;
  const char* next_line_ = nullptr;
  Sequence next_{};
  Piece pieces_[8]{};  // seven, and one that is read and not used
};

/// The scratch of a thread, and what of a sequence lies there. by_pairs: the products of attention_few_pairs.hpp.
template <class T, int B, bool by_pairs>
class FewKeys {
 public:
  using A = accum_t<T>;
  using V = Vec<A, B>;
  using Tl = Tiling<A, B>;
  static constexpr Index L = V::lanes;
  static constexpr bool kTaken = !by_pairs && !std::is_same_v<T, A>;  // keys and values have to be made A
  using Column = std::conditional_t<by_pairs, Pair, A>;

  /// `lanes`: scores of so many queries are kept, for as many `sets` of keys, queries and scores.
  FRAMEGRAD_INLINE FewKeys(const Problem<T>& p, Index lanes, int sets) : p_(p), D_(p.shape.head_dim), taken_stride_(round_up(D_, L) + L) {
    const Index keys = p.shape.keys, square = (by_pairs ? round_up(keys, RowPairProducts::kRows) : keys) * lanes, most = keys > lanes ? keys : lanes;
    const Index taken = kTaken ? keys * taken_stride_ : 0, added = p.adds() ? keys * Tl::W : 0, paired = by_pairs ? (most + 1) / 2 * round_up(D_, L) : 0;
    Scratch m(sets * (Scratch::bytes_of<A>(taken) + Scratch::bytes_of<A>(D_ * L) + Scratch::bytes_of<A>(square)) + Scratch::bytes_of<A>(added) +
              Scratch::bytes_of<Pair>(paired));
    for (int i = 0; i < sets; ++i) {
      taken_[i] = m.take<A>(taken), lanes_[i] = m.take<Column>(D_ * L);
      scores[i] = {m.take<A>(square), lanes};
    }
    added_ = m.take<A>(added), paired_ = m.take<Pair>(paired);
  }

  /// scores[set] from lane `to` on = factor·x·yᵀ of `keys` rows of x, and `queries` rows of y from q0 on.
  FRAMEGRAD_INLINE void meet(int set, const AttentionView<const T>& x, const AttentionView<const T>& y, const Sequence& s, Index keys, Index q0, Index queries,
                             A factor, Index to, FetchNext* ahead) {
    const Rows<A> out{scores[set].data + to, scores[set].stride};
    if constexpr (by_pairs) {
      call<PairsToLanes, B>(rows_of(y, s, q0), queries, D_ / 2, lanes_[set]);
      RowPairProducts::scores(rows_of(x, s), keys, D_ / 2, lanes_[set], factor, out, ahead);
    } else {
      call<RowsToLanes, B>(rows_of(y, s, q0), queries, D_, factor, lanes_[set]);
      Rows<const A> left{taken_[set], taken_stride_};
      if constexpr (!kTaken) left = rows_of(x, s);
      else if (q0 == first_) call<TakeRows, B>(rows_of(x, s), keys, D_, Rows<A>{taken_[set], taken_stride_});
      call<RowScores, B>(left, keys, D_, static_cast<const A*>(lanes_[set]), out, ahead);
    }
  }
  /// The queries that a sequence's keys are first met by.
  FRAMEGRAD_INLINE void begin(Index q0) { first_ = q0; }

  /// Adds bias and mask to scores[0] from lane `to` on.
  FRAMEGRAD_INLINE void add(const Sequence& s, Index keys, Index q0, Index queries, Index to) {
    if (!p_.adds()) return;
    const T* const bias = p_.bias.data ? p_.bias.data + offset(p_.bias, s, q0, 0) : nullptr;
    const std::uint8_t* const seen = p_.mask.seen ? p_.mask.seen + offset(p_.mask, s, q0, 0) : nullptr;
    if (bias != bias_ || seen != seen_ || queries > added_queries_) {  // sequences often share them
      std::memset(added_, 0, std::size_t(p_.shape.keys * Tl::W) * sizeof(A));
      call<AddAcross, B>(p_, s, Block{q0, queries, 0, p_.shape.keys}, Panels<A>{added_, p_.shape.keys});
      bias_ = bias, seen_ = seen, added_queries_ = queries;
    }
    for (Index i = 0; i < keys; ++i) {
      A* const x = scores[0][i] + to;
      detail::store_all(x, detail::load_all<V>(added_ + i * Tl::W) + detail::load_all<V>(x));
    }
  }

  /// out = Σ over `depth` rows of x times the probabilities in scores[0], which are pairs if by_pairs.
  template <Scores by>
  FRAMEGRAD_INLINE void sum(Index q0, Index count, Index depth, const AttentionView<const T>& x, const Sequence& s, Rows<T> out, FetchNext* ahead) {
    if constexpr (by_pairs) {
      if (q0 == first_) call<RowsInPairs, B>(rows_of(x, s), depth, D_, paired_);
      const Rows<const Pair> pairs{reinterpret_cast<const Pair*>(scores[0].data), scores[0].stride};
      RowPairProducts::sum<by>(count, D_, (depth + 1) / 2, pairs, paired_, out, ahead);
    } else {
      call<SumRows<by>, B>(count, D_, depth, left(0), rows_of(x, s), A(1), out, ahead);
    }
  }

  /// scores[set] as a product's left side.
  FRAMEGRAD_INLINE Rows<const A> left(int set) const { return {scores[set].data, scores[set].stride}; }

  Rows<A> scores[2];  // [key][query]

 private:
  const Problem<T>& p_;
  Index D_, taken_stride_, first_ = 0, added_queries_ = 0;
  A *taken_[2], *added_;
  Column* lanes_[2];
  Pair* paired_;
  const T* bias_ = nullptr;
  const std::uint8_t* seen_ = nullptr;
};

/// An item is a sequence's block of kQueries.
template <class T, bool by_pairs = false>
struct ForwardFew {
  using A = accum_t<T>;

  template <int B>
  FRAMEGRAD_INLINE static void run(Range items, const ForwardProblem<T>& p) {
    using V = Vec<A, B>;
    constexpr Index L = V::lanes;
    const AttentionShape& shape = p.shape;
    const Index blocks = p.query_blocks();
    FewKeys<T, B, by_pairs> few(p, L, 1);
    FetchNext fetch(shape);
    for (Index item = items.begin; item < items.end; ++item) {
      const Index sequence = blocks == 1 ? item : item / blocks, first = (item - sequence * blocks) * kQueries, end = first + p.query_count(first);
      const Sequence s = p.sequence(sequence);
      const Index keys = p.seen_keys(s);
      const bool whole = shape.queries <= L;  // others are streams enough
      if (first == 0 || item == items.begin) few.begin(first);
      fetch.beside(s);
      if (whole) fetch.keys(p.k), fetch.queries(p.q), fetch.keys(p.v), fetch.queries(p.out);
      for (Index q0 = first; q0 < end; q0 += L) {
        const Index queries = end - q0 < L ? end - q0 : L;
        few.meet(0, p.k, p.q, s, keys, q0, queries, A(shape.scale * kLog2E), 0, &fetch);
        few.add(s, keys, q0, queries, 0);
        softmax<V>(keys, few.scores[0], p.lse ? p.lse + sequence * shape.queries + q0 : nullptr, int(queries));
        few.template sum<Scores::of_lanes>(q0, queries, keys, p.v, s, rows_of(p.out, s, q0), &fetch);
      }
    }
  }

 private:
  template <class V>
  FRAMEGRAD_INLINE static void softmax(Index keys, Rows<A> s, A* lse, int queries) {
    constexpr A kUnseen = -std::numeric_limits<A>::infinity();
    V m(kUnseen), sum(0);
    for (Index k = 0; k < keys; ++k) m = max(m, detail::load_all<V>(s[k]));
    const V base = select(m == V(kUnseen), V(0), m);
    for (Index k = 0; k < keys; ++k) {
      const V x = detail::load_all<V>(s[k]) - base, p = by_pairs ? coarse_power(x) : power(x);
      detail::store_all(s[k], p);
      sum += p;
    }
    // The largest is 1, so no other sum is below ½. Not == 0, which is asked below: of a comparison that serves twice g++ 12 makes one a lane.
    const V inverse = select(sum < V(A(0.5)), V(0), V(1) / sum);
    if constexpr (by_pairs) {
      using U = Vec<Pair, V::bytes>;
      const auto rounded = [&](Index k) FRAMEGRAD_LAMBDA { return bits_as<Pair>(detail::load_all<V>(s[k]) * inverse) + U(0x8000u); };
      Pair* to = reinterpret_cast<Pair*>(s.data);  // a pair of rows is read before it is written over
      for (Index k = 0; k < keys; k += 2, to += s.stride) detail::store_all(to, rounded(k) >> 16 | (k + 1 < keys ? rounded(k + 1) & U(0xffff0000u) : U(0)));
    } else {
      for (Index k = 0; k < keys; ++k) detail::store_all(s[k], detail::load_all<V>(s[k]) * inverse);
    }
    if (lse) Lanes<V>{0, queries}.store(lse, (m + logarithm(sum)) * V(A(kLn2)));
  }
};

/// An item is a sequence.
template <class T, bool by_pairs = false>
struct BackwardFew {
  using A = accum_t<T>;

  template <int B>
  FRAMEGRAD_INLINE static void run(Range items, const BackwardProblem<T>& p) {
    using V = Vec<A, B>;
    constexpr Index L = V::lanes;
    const AttentionShape& shape = p.shape;
    const Index D = shape.head_dim, Q = shape.queries;
    const A scale = A(shape.scale);
    FewKeys<T, B, by_pairs> few(p, round_up(Q, L), 2);
    FetchNext fetch(shape);
    for (Index item = items.begin; item < items.end; ++item) {
      const Sequence s = p.sequence(item);
      const Index keys = p.seen_keys(s);
      few.begin(0);
      fetch.beside(s);
      fetch.keys(p.k), fetch.keys(p.v), fetch.queries(p.q), fetch.queries(p.dout), fetch.keys(p.dk), fetch.keys(p.dv), fetch.queries(p.dq);
      for (Index q0 = 0; q0 < Q; q0 += L) {
        const Index queries = Q - q0 < L ? Q - q0 : L;
        few.meet(0, p.k, p.q, s, keys, q0, queries, A(shape.scale * kLog2E), q0, &fetch);
        few.add(s, keys, q0, queries, q0);
        few.meet(1, p.v, p.dout, s, keys, q0, queries, A(1), q0, &fetch);
        probabilities<V>(keys, few.scores[0], few.scores[1], q0, p.lse + item * Q + q0, int(queries));
      }
      if (p.dv.data) few.template sum<Scores::of_rows>(0, keys, Q, p.dout, s, rows_of(p.dv, s), &fetch);
      if (p.dk.data) call<SumRows<Scores::of_rows, by_pairs>, B>(keys, D, Q, few.left(1), rows_of(p.q, s), scale, rows_of(p.dk, s), &fetch);
      if (p.dq.data) call<SumRows<Scores::of_lanes, by_pairs>, B>(Q, D, keys, few.left(1), rows_of(p.k, s), scale, rows_of(p.dq, s), &fetch);
      for (const auto& x : {p.dk, p.dv}) {
        for (Index i = keys; x.data && i < shape.keys; ++i) std::fill_n(row(x, s, i), D, T(0));
      }
    }
  }

 private:
  /// S and G of the queries from q0 on → P and dS.
  template <class V>
  FRAMEGRAD_INLINE static void probabilities(Index keys, Rows<A> s, Rows<A> g, Index q0, const A* lse, int queries) {
    const Lanes<V> l{0, queries};
    const V infinity(std::numeric_limits<A>::infinity()), given = l.within(l.load(lse), -infinity);
    // A query that saw no key has lse −∞; +∞ makes its probabilities zero, and those of lanes without one.
    const V base = select(given == -infinity, infinity, given * V(A(kLog2E)));
    V delta(0);
    for (Index k = 0; k < keys; ++k) {
      const V x = detail::load_all<V>(s[k] + q0) - base, p = by_pairs ? coarse_power(x) : power(x);
      detail::store_all(s[k] + q0, p);
      delta = fma(p, detail::load_all<V>(g[k] + q0), delta);
    }
    for (Index k = 0; k < keys; ++k) {
      const V p = detail::load_all<V>(s[k] + q0);
      detail::store_all(g[k] + q0, p * (detail::load_all<V>(g[k] + q0) - delta));
      // Pairs of queries take half of a row: its scores up to here were read.
      if constexpr (by_pairs) detail::narrow16(reinterpret_cast<Pair*>(s[k]) + q0 / 2, (bits_as<Pair>(p) + Vec<Pair, V::bytes>(0x8000u)) >> 16);
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
