// attention, forward: one item is a block of queries of one sequence, against all of its keys.
//
//   Qᵀ = c·q, packed across                [head_dim, queries]   c = scale·log₂e: scores in units of log 2
//   for each block of keys
//     Sᵀ = K·Qᵀ + added                    [keys, queries]        queries are lanes: maximum and sum need no shuffles
//     m' = max(m, max Sᵀ)   a = 2^(m − m')   P = 2^(Sᵀ − m')   l = a·l + Σ P
//     O = a∘O + P·V                        [queries, head_dim]
//   out = O / l
#pragma once

#include <framegrad/cpu/attention_added.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

template <class T>
struct ForwardProblem : Problem<T> {
  AttentionView<T> out;
  accum_t<T>* lse;

  Index forward_items() const { return this->sequences() * this->query_blocks(); }
  double item_ns() const { return this->product_ns(2) / double(this->query_blocks()); }
};

/// Running maximum and sum of each query; `scale` is what the outputs so far are to be multiplied by.
template <class A>
struct Running {
  A *maximum, *sum, *scale;
  Running from(Index query) const { return {maximum + query, sum + query, scale + query}; }
};

/// Sᵀ → P, in place.
struct Softmax {
  template <int B, class A>
  FRAMEGRAD_INLINE static void run(Index keys, Index queries, const Running<A>& run, Panels<A> scores) {
    using Tl = Tiling<A, B>;
    using V = typename Tl::V;
    for (Index q = 0; q < queries; q += Tl::L) {
      A* s = scores.template at<Tl>(0, q);
      const V before = detail::load_all<V>(run.maximum + q);
      V m = before, m2 = before;  // one would be a chain of all keys
      Index k = 0;
      for (; k + 1 < keys; k += 2) m = max(m, detail::load_all<V>(s + k * Tl::W)), m2 = max(m2, detail::load_all<V>(s + (k + 1) * Tl::W));
      if (k < keys) m = max(m, detail::load_all<V>(s + k * Tl::W));
      m = max(m, m2);
      const V base = select(m == V(-std::numeric_limits<A>::infinity()), V(0), m);  // no key seen yet: −∞ − (−∞) would be NaN
      const V scale = power(before - base);
      V sum(0);
      for (Index k = 0; k < keys; ++k) {
        const V p = power(detail::load_all<V>(s + k * Tl::W) - base);
        detail::store_all(s + k * Tl::W, p);
        sum += p;
      }
      detail::store_all(run.maximum + q, m);
      detail::store_all(run.scale + q, scale);
      detail::store_all(run.sum + q, fma(detail::load_all<V>(run.sum + q), scale, sum));
    }
  }
};

/// Keys and values of a sequence are packed once; of one that would take more of each thread's memory than this, block by block for each block of queries.
inline constexpr Index kWholeBytes = 8 << 20;

template <class T>
struct Forward {
  using A = accum_t<T>;

  template <int B>
  FRAMEGRAD_INLINE static void run(Range items, const ForwardProblem<T>& p) {
    using Tl = Tiling<A, B>;
    using V = typename Tl::V;
    using P = Panels<A>;
    const Index D = p.shape.head_dim, blocks = p.query_blocks();
    const Index queries = round_up(p.shape.queries < kQueries ? p.shape.queries : kQueries, Tl::kPad);
    const bool whole = 2 * P::template size<Tl>(p.shape.keys, D) * Index(sizeof(A)) <= kWholeBytes;
    const Index keys = round_up(p.shape.keys < kKeys ? p.shape.keys : kKeys, Tl::R), packed_keys = whole ? round_up(p.shape.keys, Tl::R) : keys;
    const Index sizes[] = {P::template size<Tl>(D, queries), P::template size<Tl>(packed_keys, D), P::template size<Tl>(packed_keys, D),
                           P::template size<Tl>(keys, queries), P::template size<Tl>(queries, D)};
    Index bytes = 3 * Scratch::bytes_of<A>(queries);
    for (const Index n : sizes) bytes += Scratch::bytes_of<A>(n);
    Scratch scratch(bytes);
    const P qt{scratch.take<A>(sizes[0]), D}, kp{scratch.take<A>(sizes[1]), packed_keys}, vp{scratch.take<A>(sizes[2]), packed_keys},
        scores{scratch.take<A>(sizes[3]), keys}, o{scratch.take<A>(sizes[4]), queries};
    const Running<A> running{scratch.take<A>(queries), scratch.take<A>(queries), scratch.take<A>(queries)};

    const auto pack = [&](const Sequence& s, Index k0, Index place, const Sequence& next) FRAMEGRAD_LAMBDA {
      const Index nk = p.key_count(s, k0);
      RowsToCome next_k(row(p.k, next, k0), p.k.row, nk, D), next_v(row(p.v, next, k0), p.v.row, nk, D);
      call<Pack, B>(row(p.k, s, k0), p.k.row, nk, D, round_up(nk, Tl::R), A(1), kp.template from_row<Tl>(place), &next_k);
      call<Pack, B>(row(p.v, s, k0), p.v.row, nk, D, nk, A(1), vp.template from_row<Tl>(place), &next_v);
    };
    Index packed = -1;  // the sequence that is whole in kp and vp
    for (Index item = items.begin; item < items.end; ++item) {
      const Sequence s = p.sequence(item / blocks);
      const Index q0 = item % blocks * kQueries, nq = p.query_count(q0), padded = round_up(nq, Tl::kPad), seen = p.seen_keys(s);
      const Index following = item + 1 < items.end ? item + 1 : item, next_q0 = following % blocks * kQueries;
      if (whole && packed != item / blocks) {
        packed = item / blocks;
        const Sequence next = p.sequence(packed + 1 < p.sequences() ? packed + 1 : packed);
        for (Index k0 = 0; k0 < seen; k0 += kKeys) pack(s, k0, k0, next);
      }
      call<PackAcross, B>(row(p.q, s, q0), p.q.row, nq, D, padded, A(p.shape.scale * kLog2E), qt);
      RowsToCome out_ahead(row(p.out, s, q0), p.out.row, nq, D), q_ahead(row(p.q, p.sequence(following / blocks), next_q0), p.q.row, p.query_count(next_q0), D);
      for (Index q = 0; q < padded; ++q) running.maximum[q] = -std::numeric_limits<A>::infinity(), running.sum[q] = 0;

      bool begun = false;
      for (Index k0 = 0; k0 < seen; k0 += kKeys) {
        const Index nk = p.key_count(s, k0), padded_keys = round_up(nk, Tl::R);
        const Block block{q0, nq, k0, nk};
        const Seen shown = seen_in<B>(p, s, block);
        if (shown == Seen::none) continue;
        if (!whole) pack(s, k0, 0, s);
        const Index place = whole ? k0 : 0;
        RowsToCome bias_ahead(p.bias.data ? p.bias.data + offset(p.bias, s, q0, k0) : nullptr, p.bias.query, p.bias.key == 1 ? nq : 0, nk);
        multiply<Tl, Left::plain>(padded_keys, padded, D, kp.template from_row<Tl>(place), qt, scores, Start::zero, nullptr, &bias_ahead);
        if (p.adds(shown)) call<AddAcross, B>(static_cast<const Problem<T>&>(p), s, block, scores);
        call<Softmax, B>(nk, padded, running, scores);
        multiply<Tl, Left::transposed>(padded, D, nk, scores, vp.template from_row<Tl>(place), o, begun ? Start::scaled : Start::zero, running.scale,
                                       begun ? &q_ahead : &out_ahead);
        begun = true;
      }

      q_ahead.fetch_rest();
      A* inverse = running.scale;
      for (Index i = 0; i < nq; ++i) inverse[i] = running.sum[i] == 0 ? A(0) : 1 / running.sum[i];
      call<Unpack, B>(begun ? o : P{nullptr, 0}, nq, D, row(p.out, s, q0), p.out.row, inverse, A(1));
      if (p.lse) {
        A* lse = p.lse + item / blocks * p.shape.queries + q0;
        each<V>(nq, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(lse, (l.load(running.maximum) + logarithm(l.load(running.sum))) * V(A(kLn2))); });
      }
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
