// attention, forward, for bf16 by pairs: on AMX, whose products run 8 times as fast as FMA's, so that the exponential is what counts, or
// by AVX512-BF16's dot product, twice as fast as FMA.
//
//   keys and values of a sequence, once      K [keys, head_dim]   Vᵀ [head_dim, keys] by block     bf16, padded to what the tiles take
//   queries of a block, once                 Qᵀ [head_dim, queries]                                pairs of bf16
//   for each block of keys
//     Sᵀ = K·Qᵀ                              [keys, queries]                                       f32, queries are lanes
//     P = 2^(c·(Sᵀ + added) − m)             [keys, queries]      c = scale·log2 e                 pairs along the keys
//     Oᵀ = a∘Oᵀ + Vᵀ·P                       [head_dim, queries]                                   f32
//
// m is a maximum that follows the largest score only when that has grown by 8 (in units of log 2): until then P stays below 2^8, which bf16 and
// f32 hold as well as numbers below 1, and Oᵀ needs no scaling.
//
// What the tiles take as their left side is read along rows, as their right side in pairs of rows: neither product needs
// anything transposed but V, once a sequence. So a thread holds, besides blocks, one sequence's keys and values.
#pragma once

#include <algorithm>
#include <cstring>

#include <framegrad/cpu/attention_forward.hpp>
#include <framegrad/cpu/gemm_amx.hpp>
#include <framegrad/cpu/gemm_tile.hpp>

#if defined(__x86_64__)

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// Rows of f32 panels in pairs, as the tiles' right side takes them; the numbers are bf16 already.
struct PairRows {
  template <int B>
  FRAMEGRAD_INLINE static void run(Panels<float> from, Index rows, Index cols, Panels<Pair> to) {
    using Tl = Tiling<float, B>;
    using V = typename Tl::V;
    using U = Vec<Pair, B>;
    for (Index j = 0; j < cols; j += Tl::L) {
      for (Index i = 0; i < 2 * to.rows; i += 2) {
        const auto bits = [&](Index r) FRAMEGRAD_LAMBDA {
          return r < rows ? bits_as<Pair>(detail::load_all<V>(from.at<Tl>(r, j))) : U(0);
        };
        detail::store_all(to.at<Tl>(i / 2, j), bits(i) >> 16 | bits(i + 1));
      }
    }
  }
};

/// Sᵀ, not yet times `scale` ≥ 0, → P, both a panel. *grown: some maximum has, so Oᵀ is to be scaled.
struct SoftmaxPairs {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index keys, float scale, const Running<float>& run, const float* scores, Pair* to, bool* grown) {
    using Tl = Tiling<float, B>;
    using V = typename Tl::V;
    using U = Vec<Pair, B>;
    constexpr int W = Tl::W;
    const Index padded = round_up(keys, 2 * kAmxUnits);
    const V unseen(-std::numeric_limits<float>::infinity()), factor(scale * float(kLog2E));
    V any(0);
    for (Index q = 0; q < W; q += Tl::L) {
      const float* s = scores + q;
      V largest[4] = {unseen, unseen, unseen, unseen};  // one would be a chain of all keys
      Index next = 0;
      for (; next + 4 <= keys; next += 4)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) largest[i] = max(largest[i], detail::load_all<V>(s + (next + i) * W));
      for (; next < keys; ++next) largest[0] = max(largest[0], detail::load_all<V>(s + next * W));
      const V before = detail::load_all<V>(run.maximum + q), here = max(max(largest[0], largest[1]), max(largest[2], largest[3])) * factor;
      const auto grows = here > before + V(8);
      const V m = select(grows, here, before), base = select(m == unseen, V(0), m);
      any = max(any, select(grows, V(1), V(0)));
      V sum(0), sum2(0);
      const auto probability = [&](Index k) FRAMEGRAD_LAMBDA { return coarse_power(fma(detail::load_all<V>(s + k * W), factor, -base)); };
      Pair* out = to + q;
      const U half_ulp(0x8000u);
      Index k = 0;
      for (; k + 1 < keys; k += 2, out += W) {
        const V p = probability(k), p2 = probability(k + 1);
        sum += p, sum2 += p2;
        detail::store_all(out, (bits_as<Pair>(p) + half_ulp) >> 16 | ((bits_as<Pair>(p2) + half_ulp) & U(0xffff0000u)));
      }
      for (; k < padded; k += 2, out += W) {
        const V p = k < keys ? probability(k) : V(0);
        sum += p;
        detail::store_all(out, (bits_as<Pair>(p) + half_ulp) >> 16);
      }
      const V fade = select(grows, coarse_power(before - base), V(1));
      detail::store_all(run.maximum + q, m);
      detail::store_all(run.scale + q, fade);
      detail::store_all(run.sum + q, fma(detail::load_all<V>(run.sum + q), fade, sum + sum2));
    }
    *grown = max_across(any) > 0;
  }
};

/// The rows of a panel, column by column times a number.
struct ScaleRows {
  template <int B>
  FRAMEGRAD_INLINE static void run(float* x, Index rows, const float* factors) {
    using Tl = Tiling<float, B>;
    using V = typename Tl::V;
    for (Index j = 0; j < Tl::W; j += Tl::L) {
      const V f = detail::load_all<V>(factors + j);
      for (Index i = 0; i < rows; ++i) detail::store_all(x + i * Tl::W + j, detail::load_all<V>(x + i * Tl::W + j) * f);
    }
  }
};

/// Tiles of 32 keys and 32 queries: below that they would be padding.
inline bool served_by_pairs(const AttentionShape& s) { return isa() >= Isa::avx512_bf16 && s.queries >= 32 && s.keys >= 32; }

/// The products, by AMX's tiles or those of registers, between begin() and end().
class PairProducts {
 public:
  void begin() const { if (amx) amx_begin(); }
  void end() const { if (amx) amx_end(); }

  /// What the rows and the depth of a left side are padded to.
  Index whole(Index n) const { return round_up(n, amx ? 32 : 2); }

  /// to[rows, slivers·32] (+)= left·right; the strides count numbers. A call, not inlined in nine places: that would cost compile time.
  [[gnu::noinline]] void add(Index rows, Index slivers, Index depth, const bf16* left, Index left_stride, const Pair* right, float* to, Index stride,
                             bool first) const noexcept {
    const Index units = depth / 2;
    if (amx) return amx_block(rows, slivers, units, bytes(left), left_stride * 2, right, to, stride, !first);
    Ahead nothing;
    for (Index j = 0; j < slivers; ++j, right += units * 32, to += 32)
      dot_block(rows, units, {bytes(left), left_stride * 2, false}, right, {first ? nullptr : to, stride, to, stride}, &nothing);
  }

  const bool amx = has_amx();

 private:
  [[gnu::noinline]] static bool has_amx() noexcept { return isa() == Isa::amx; }
  static const char* bytes(const bf16* x) { return reinterpret_cast<const char*>(x); }
};

struct ForwardPairs {
  static constexpr Index kRows = 48;  // of the register tile a multiple

  /// One sequence's keys as they are, values across, padded with zeros to whole tiles.
  struct Sides {
    bf16 *keys, *values;   // [keys, tiled_D], and for each block of keys [tiled_D, kKeys]
    Panels<float> across;  // [tiled_D, kKeys]

    template <int B>
    FRAMEGRAD_INLINE void pack(const ForwardProblem<bf16>& p, const Sequence& s) const {
      using Tl = Tiling<float, B>;
      using V = typename Tl::V;
      const Index D = p.shape.head_dim, tiled_D = across.rows, seen = p.seen_keys(s);
      for (Index i = 0; i < round_up(seen, 32); ++i) {
        const Index given = i < seen ? D : 0;
        if (given) std::memcpy(static_cast<void*>(keys + i * tiled_D), row(p.k, s, i), std::size_t(D) * sizeof(bf16));
        std::memset(static_cast<void*>(keys + i * tiled_D + given), 0, std::size_t(tiled_D - given) * sizeof(bf16));
      }
      for (Index k0 = 0; k0 < seen; k0 += kKeys) {
        const Index nk = p.key_count(s, k0), padded = round_up(nk, 32);
        call<PackAcross, B>(row(p.v, s, k0), p.v.row, nk, D, padded, 1.0f, across);
        for (Index d = 0; d < tiled_D; ++d) {
          bf16* to = values + k0 * tiled_D + d * kKeys;
          for (Index k = 0; k < padded; k += Tl::L) {
            detail::narrow16(to + k, bits_as<Pair>(d < D ? detail::load_all<V>(across.at<Tl>(d, k)) : V(0)) >> 16);  // bf16 already: exact
          }
        }
      }
    }
  };

  template <int B>
  FRAMEGRAD_INLINE static void run(Range items, const ForwardProblem<bf16>& p) {
    using Tl = Tiling<float, B>;
    using V = typename Tl::V;
    using P = Panels<float>;
    constexpr Index W = Tl::W;
    static_assert(W == 32);  // a panel is two tiles wide
    const PairProducts products;
    const Index D = p.shape.head_dim, tiled_D = products.whole(D), blocks = p.query_blocks(), step = products.amx ? kAmxRows : kRows;
    const Index all_keys = p.key_blocks() * kKeys * tiled_D, wide = tiled_D * kKeys, narrow = tiled_D * kQueries;
    const auto bytes = [](Index n) { return Scratch::bytes_of<float>(n); };
    Scratch scratch(2 * Scratch::bytes_of<bf16>(all_keys) + bytes(wide) + bytes(narrow / 2) + 2 * bytes(narrow) + bytes(kKeys * W) + bytes(kKeys / 2 * W) +
                    4 * bytes(kQueries));
    const Sides sides{scratch.take<bf16>(all_keys), scratch.take<bf16>(all_keys), {scratch.take<float>(wide), tiled_D}};
    const Panels<Pair> qt{scratch.take<Pair>(narrow / 2), tiled_D / 2};
    const P ot{scratch.take<float>(narrow), tiled_D}, o{scratch.take<float>(narrow), kQueries};
    float* const scores = scratch.take<float>(kKeys * W);      // [kKeys, W]
    Pair* const prob = scratch.take<Pair>(kKeys / 2 * W);      // [kKeys / 2, W]
    const Running<float> running{scratch.take<float>(kQueries), scratch.take<float>(kQueries), scratch.take<float>(kQueries)};
    float* const scales = scratch.take<float>(W);
    std::fill_n(scales, W, float(p.shape.scale));

    products.begin();
    Index packed = -1;  // the sequence in `sides`
    for (Index item = items.begin; item < items.end; ++item) {
      const Sequence s = p.sequence(item / blocks);
      const Index q0 = item % blocks * kQueries, nq = p.query_count(q0), padded = round_up(nq, W), seen = p.seen_keys(s);
      if (packed != item / blocks) sides.pack<B>(p, s);
      packed = item / blocks;
      call<PackAcross, B>(row(p.q, s, q0), p.q.row, nq, D, padded, 1.0f, sides.across);
      call<PairRows, B>(sides.across, D, padded, qt);
      for (Index q = 0; q < padded; ++q) running.maximum[q] = -std::numeric_limits<float>::infinity(), running.sum[q] = 0;

      bool begun = false;
      for (Index k0 = 0; k0 < seen; k0 += kKeys) {
        const Index nk = p.key_count(s, k0), tiled_keys = products.whole(nk);
        const Block block{q0, nq, k0, nk};
        const Seen shown = seen_in<B>(p, s, block);
        if (shown == Seen::none) continue;
        const bool adds = p.adds(shown);
        for (Index q = 0; q < padded; q += W) {  // a panel's scores stay in the first-level cache
          float* const out = ot.at<Tl>(0, q);
          bool grown = false;
          const Block panel{q0 + q, nq - q < W ? nq - q : W, k0, nk};
          AddedToCome added(p, s, panel);
          for (Index i = 0; i < tiled_keys; i += step) {
            if (adds) added.fetch(2 * kLinesAhead);
            products.add(tiled_keys - i < step ? tiled_keys - i : step, 1, tiled_D, sides.keys + (k0 + i) * tiled_D, tiled_D, qt.at<Tl>(0, q), scores + i * W, W, true);
          }
          if (adds) call<AddPairs, B>(static_cast<const Problem<bf16>&>(p), s, panel, float(p.shape.scale), scores);
          else if (p.shape.scale < 0) call<ScaleRows, B>(scores, tiled_keys, scales);
          call<SoftmaxPairs, B>(nk, adds || p.shape.scale < 0 ? 1.0f : float(p.shape.scale), running.from(q), scores, prob, &grown);
          if (begun && grown) call<ScaleRows, B>(out, D, running.scale + q);
          products.add(tiled_D, 1, tiled_keys, sides.values + k0 * tiled_D, kKeys, prob, out, W, !begun);
        }
        begun = true;
      }

      for (Index q = 0; q < padded; q += W) {
        call<PackAcross, B>(static_cast<const float*>(ot.at<Tl>(0, q)), W, D, W, round_up(D, Tl::L), 1.0f, o.from_row<Tl>(q));
      }
      float* inverse = running.scale;
      for (Index i = 0; i < nq; ++i) inverse[i] = running.sum[i] == 0 ? 0 : 1 / running.sum[i];
      call<Unpack, B>(begun ? o : P{nullptr, 0}, nq, D, row(p.out, s, q0), p.out.row, inverse, 1.0f);
      if (p.lse) {
        float* lse = p.lse + item / blocks * p.shape.queries + q0;
        each<V>(nq, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
          l.store(lse, (l.load(running.maximum) + logarithm(l.load(running.sum))) * V(float(kLn2)));
        });
      }
    }
    products.end();
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention

#endif
