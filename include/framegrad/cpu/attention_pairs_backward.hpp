// attention, backward, for bf16 by pairs, on AMX or by AVX512-BF16's dot product: the products of attention_backward.hpp by tiles, on larger blocks.
//
//   S = q·Kᵀ   G = g·Vᵀ                             [queries, keys]       f32, a strip of queries and a piece of keys at a time
//   P = 2^(c·S + added − lse)   dS = P∘(G − δ)      [queries, keys]       c = scale·log2 e
//   dVᵀ += gᵀ·P   dKᵀ += qᵀ·dS                      [head_dim, keys]      f32
//   dQ += dS·K                                      [queries, head_dim]   f32
//
// Keys are lanes. The tiles' left side is read along rows, their right side in pairs of rows: P is written in pairs of queries, dS
// in both ways. So of a block of queries q and g are packed as they lie and across, of keys K, V across and K in pairs.
// P is rounded to bf16, as forward does. Of G − δ little may be left, and what counts are its largest numbers: dS is the sum of
// two bf16, and its products are taken twice.
#pragma once

#include <framegrad/cpu/attention_pairs.hpp>
#include <framegrad/cpu/attention_backward.hpp>
#include <framegrad/cpu/gemm_epilogue.hpp>

#if defined(__x86_64__)

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// Of a strip of queries, the first `given` of which there are, and a piece of `padded` keys: scores and gradients lie [rows, stride].
struct ProbabilityPiece {
  Index rows, given, keys, padded, stride;
  const float *scores, *gradients;
  const bf16* bias;            // or null, as `seen`
  const std::uint8_t* seen;
  Index bias_stride, seen_stride;
  const float *lse, *delta;    // [rows]; lse in units of log 2
  cpu::Pair *prob, *ds_pairs;  // slivers of 32 keys, `units` pairs of queries each
  Index units;
  bf16* ds_rows;
  Index ds_stride, low;        // pairs from dS's upper parts to its lower ones
};

/// P and dS of a piece; zeros behind its last key.
struct ProbabilityPairs {
  template <int B>
  FRAMEGRAD_INLINE static void run(const ProbabilityPiece& x, float c) {
    using V = Vec<float, B>;
    using U = Vec<cpu::Pair, B>;
    for (Index q = 0; q < x.rows; q += 2) {
      const V lse[2] = {V(x.lse[q]), V(x.lse[q + 1])}, delta[2] = {V(x.delta[q]), V(x.delta[q + 1])};
      for (Index k = 0; k < x.padded; k += V::lanes) {
        const Lanes<V> l{k, x.keys - k >= V::lanes ? V::lanes : x.keys > k ? int(x.keys - k) : 0};
        U p[2], high[2], low[2];
        const U half_ulp(0x8000u), upper(0xffff0000u);
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r) {
          const Index at = (q + r) * x.stride + k;
          V s = fma(detail::load_all<V>(x.scores + at), V(c), -lse[r]);
          const Index given = q + r < x.given ? q + r : x.given - 1;  // of the others lse is +∞
          if (x.bias) s = fma(l.load(x.bias + given * x.bias_stride), V(float(kLog2E)), s);
          V prob = l.within(coarse_power(s), V(0));
          if (x.seen) prob = select(l.load(x.seen + given * x.seen_stride) == V(0), V(0), prob);
          const V ds = prob * (detail::load_all<V>(x.gradients + at) - delta[r]);
          p[r] = bits_as<cpu::Pair>(prob) + half_ulp;
          high[r] = (bits_as<cpu::Pair>(ds) + half_ulp) & upper;
          low[r] = bits_as<cpu::Pair>(ds - bits_as<float>(high[r])) + half_ulp;
          bf16* const row = x.ds_rows + (q + r) * x.ds_stride + k;
          detail::narrow16(row, high[r] >> 16);
          detail::narrow16(row + 2 * x.low, low[r] >> 16);
        }
        const Index pair = (k / 32 * x.units + q / 2) * 32 + k % 32;
        detail::store_all(x.prob + pair, p[0] >> 16 | (p[1] & upper));
        detail::store_all(x.ds_pairs + pair, high[0] >> 16 | high[1]);
        detail::store_all(x.ds_pairs + pair + x.low, low[0] >> 16 | (low[1] & upper));
      }
    }
  }
};

/// from [cols, stride] across → `rows` rows of `cols` numbers, times `factor`. Columns are there up to a multiple of the lanes.
struct RowsAcross {
  template <int B>
  FRAMEGRAD_INLINE static void run(const float* from, Index stride, Index rows, Index cols, float factor, bf16* to, Index to_stride) {
    using V = Vec<float, B>;
    constexpr int L = V::lanes;
    for (Index i = 0; i < rows; i += L) {
      each<V>(cols, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        V x[L];
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r) x[r] = detail::load_all<V>(from + (l.index + r) * stride + i) * V(factor);
        detail::transpose(x);
        const int live = rows - i < L ? int(rows - i) : L;
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r)
          if (r < live) l.store(to + (i + r) * to_stride, x[r]);
      });
    }
  }
};

/// As FmaBlocks. Sizes with `tiled` are multiples of 32, with zeros behind what is given; tiled_D is as much as the tiles ask for.
template <class T, int B>
class PairBlocks {
  static_assert(std::is_same_v<T, bf16> && B == 64);
  using V = Vec<float, B>;
  using Pairs = cpu::Pair;

 public:
  static constexpr Index kQueries = 256, kKeys = 256;  // the squares of a pair of blocks are 128 KiB each
  static constexpr Index kStrip = 32, kPiece = 128;    // S and G are 16 KiB each
  static constexpr Index kFetched = kStrip * 2;        // half of the lines of a piece's bias

  FRAMEGRAD_INLINE PairBlocks(const BackwardProblem<bf16>& p, Index dq_rows)
      : p_(p), tiled_D_(products_.whole(p.shape.head_dim)), row_D_(round_up(tiled_D_, 32)), keys_(round_up(p.shape.keys < kKeys ? p.shape.keys : kKeys, 32)) {
    const Index queries = round_up(p.shape.queries < kQueries ? p.shape.queries : kQueries, 32);
    const Index by_query = queries * row_D_, by_key = keys_ * row_D_, square = queries * keys_, dq_size = round_up(dq_rows, 32) * row_D_;
    Scratch m(4 * Scratch::bytes_of<bf16>(by_query) + 3 * Scratch::bytes_of<bf16>(by_key) + 5 * Scratch::bytes_of<bf16>(square) +
              2 * Scratch::bytes_of<float>(by_key) + Scratch::bytes_of<float>(dq_size) + 2 * Scratch::bytes_of<float>(kStrip * kPiece) + Scratch::bytes_of<bf16>(kStrip * kPiece) +
              2 * Scratch::bytes_of<float>(queries));
    for (bf16** x : {&q_, &g_, &qt_, &gt_}) *x = m.take<bf16>(by_query);
    for (Pairs** x : {&kt_, &vt_, &k_}) *x = m.take<Pairs>(by_key / 2);
    prob_ = m.take<Pairs>(square / 2), ds_pairs_ = m.take<Pairs>(square), ds_rows_ = m.take<bf16>(2 * square), low_ = square / 2;
    for (float** x : {&dk_, &dv_}) *x = m.take<float>(by_key);
    dq_ = m.take<float>(dq_size);
    for (float** x : {&scores_, &gradients_}) *x = m.take<float>(kStrip * kPiece);
    added_ = m.take<bf16>(kStrip * kPiece);
    for (float** x : {&lse_, &delta_}) *x = m.take<float>(queries);
    products_.begin();
  }
  PairBlocks(const PairBlocks&) = delete;
  FRAMEGRAD_INLINE ~PairBlocks() { products_.end(); }

  FRAMEGRAD_INLINE void take_queries(Index sequence, Index q0, bool across) {
    const Sequence s = p_.sequence(sequence);
    const Index D = p_.shape.head_dim, n = p_.query_count(q0, kQueries);
    b_.q0 = q0, b_.queries = n, tiled_queries_ = round_up(n, 32);
    const bf16 *q = row(p_.q, s, q0), *g = row(p_.dout, s, q0), *out = row(p_.out, s, q0);
    const auto pack = [&](const Operand<bf16>& x, bf16* to, Index stride) FRAMEGRAD_LAMBDA {
      call<PackRows<bf16, Pairs>, B>(x, Index(0), x.lines, Index(32), Index(0), (x.depth + 1) / 2, reinterpret_cast<Pairs*>(to), stride / 2);
    };
    pack({q, n, D, p_.q.row, 1}, q_, row_D_);
    pack({g, n, D, p_.dout.row, 1}, g_, row_D_);
    if (across) {
      pack({q, D, n, 1, p_.q.row}, qt_, tiled_queries_);
      pack({g, D, n, 1, p_.dout.row}, gt_, tiled_queries_);
    }
    for (Index i = 0; i < tiled_queries_; ++i) {
      const bool inside = i < n;
      const float lse = inside ? p_.lse[sequence * p_.shape.queries + q0 + i] : 0.0f;
      // A query that saw no key has lse −∞; +∞ makes its probabilities zero.
      lse_[i] = !inside || lse == -std::numeric_limits<float>::infinity() ? std::numeric_limits<float>::infinity() : lse * float(kLog2E);
      delta_[i] = !inside ? 0.0f : sum<V>(D, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { return l.load(g + i * p_.dout.row) * l.load(out + i * p_.out.row); });
    }
  }

  FRAMEGRAD_INLINE bool take_keys(Index sequence, Index k0) {
    const Sequence s = p_.sequence(sequence);
    const Index D = p_.shape.head_dim, n = p_.key_count(s, k0, kKeys);
    b_.k0 = k0, b_.keys = n, tiled_keys_ = round_up(n, 32);
    const bf16 *k = row(p_.k, s, k0), *v = row(p_.v, s, k0);
    const auto pack = [&](const Operand<bf16>& x, Index whole, Pairs* to) FRAMEGRAD_LAMBDA {
      call<PackSlivers<bf16, Pairs>, B>(x, Index(0), round_up(x.lines, 32), Index(0), round_up(x.depth, whole) / 2, to);
    };
    if (n == 0) return false;
    pack({k, n, D, p_.k.row, 1}, products_.whole(1), kt_);
    pack({v, n, D, p_.v.row, 1}, products_.whole(1), vt_);
    pack({k, D, n, 1, p_.k.row}, 32, k_);
    return true;
  }

  FRAMEGRAD_INLINE Seen seen(Index sequence, Index q0) const { return seen_in<B>(p_, p_.sequence(sequence), Block{q0, p_.query_count(q0, kQueries), b_.k0, b_.keys}); }

  FRAMEGRAD_INLINE void meet(Index sequence, Seen shown) {
    const bool adds = p_.adds(shown);
    const float c = float(p_.shape.scale) * float(kLog2E);
    for (Index i = 0; i < tiled_queries_; i += kStrip) {
      for (Index j = 0; j < tiled_keys_; j += kPiece) {
        const auto upto = [](Index left, Index most) FRAMEGRAD_LAMBDA { return left < most ? left : most; };
        const Index padded = upto(tiled_keys_ - j, kPiece), keys = upto(b_.keys - j, kPiece), units = tiled_queries_ / 2;
        const auto strip = [&](const bf16* left, const Pairs* right, float* to) FRAMEGRAD_LAMBDA {
          products_.add(kStrip, padded / 32, tiled_D_, left + i * row_D_, row_D_, right + j * tiled_D_ / 2, to, kPiece, true);
        };
        const Block block{b_.q0 + i, upto(b_.queries - i, kStrip), b_.k0 + j, keys};
        AddedToCome added(p_, p_.sequence(sequence), block);
        if (adds) added.fetch(kFetched);
        strip(q_, kt_, scores_);
        if (adds) added.fetch(kFetched);
        strip(g_, vt_, gradients_);
        ProbabilityPiece piece{kStrip, block.queries, keys, padded, kPiece, scores_, gradients_, nullptr, nullptr, 0, 0, lse_ + i, delta_ + i,
                               prob_ + j * units + i * 16, ds_pairs_ + j * units + i * 16, units, ds_rows_ + i * keys_ + j, keys_, low_};
        if (adds) add_to(piece, sequence, block);
        call<ProbabilityPairs, B>(piece, c);
      }
    }
  }

  FRAMEGRAD_INLINE void add_dv(bool first) { products_.add(tiled_D_, tiled_keys_ / 32, tiled_queries_, gt_, tiled_queries_, prob_, dv_, keys_, first); }
  FRAMEGRAD_INLINE void add_dk(bool first) {
    for (const Index part : {Index(0), low_})
      products_.add(tiled_D_, tiled_keys_ / 32, tiled_queries_, qt_, tiled_queries_, ds_pairs_ + part, dk_, keys_, first && part == 0);
  }
  FRAMEGRAD_INLINE void add_dq(Index place, bool first) {
    float* const to = dq_ + place * row_D_;
    for (const Index part : {Index(0), low_})
      products_.add(tiled_queries_, row_D_ / 32, tiled_keys_, ds_rows_ + 2 * part, keys_, k_, to, row_D_, first && part == 0);
  }

  FRAMEGRAD_INLINE void write_keys(Index sequence) {
    const Sequence s = p_.sequence(sequence);
    const Index left = p_.shape.keys - b_.k0, all = left < kKeys ? left : kKeys, D = p_.shape.head_dim;
    const auto write = [&](const float* from, float factor, const AttentionView<bf16>& to) FRAMEGRAD_LAMBDA {
      if (!to.data) return;
      call<RowsAcross, B>(from, keys_, b_.keys, D, factor, row(to, s, b_.k0), to.row);
      for (Index i = b_.keys; i < all; ++i) std::memset(static_cast<void*>(row(to, s, b_.k0 + i)), 0, std::size_t(D) * sizeof(bf16));
    };
    write(dk_, float(p_.shape.scale), p_.dk);
    write(dv_, 1.0f, p_.dv);
  }

  FRAMEGRAD_INLINE void write_queries(Index sequence, Index q0, Index place) {
    const Sequence s = p_.sequence(sequence);
    const Index n = p_.query_count(q0, kQueries), D = p_.shape.head_dim;
    for (Index i = 0; i < n && p_.seen_keys(s) == 0; ++i) std::memset(static_cast<void*>(row(p_.dq, s, q0 + i)), 0, std::size_t(D) * sizeof(bf16));
    if (p_.seen_keys(s) == 0) return;
    GemmOptions<bf16> o;
    o.alpha = float(p_.shape.scale);
    call<GemmEpilogue<float, bf16>, B>(n, D, static_cast<const float*>(dq_ + place * row_D_), row_D_, row(p_.dq, s, q0), p_.dq.row, o);
  }

 private:
  FRAMEGRAD_INLINE void add_to(ProbabilityPiece& piece, Index sequence, const Block& block) const {
    const Sequence s = p_.sequence(sequence);
    const AddedSource<bf16> from(p_, s, block);
    if (AddedSource<bf16>::serves(p_)) {
      piece.bias = from.bias, piece.seen = from.seen, piece.bias_stride = from.bias_stride, piece.seen_stride = from.seen_stride;
    } else {
      each_added(p_, s, block, [&](Index q, Index k, float x) FRAMEGRAD_LAMBDA { added_[q * kPiece + k] = bf16(x); });
      piece.bias = added_, piece.bias_stride = kPiece;
    }
  }

  const PairProducts products_;
  const BackwardProblem<bf16>& p_;
  Index tiled_D_, row_D_, keys_, low_ = 0, tiled_queries_ = 0, tiled_keys_ = 0;
  Block b_{};
  bf16 *q_, *g_, *qt_, *gt_, *ds_rows_, *added_;
  Pairs *kt_, *vt_, *k_, *prob_, *ds_pairs_;
  float *dk_, *dv_, *dq_, *scores_, *gradients_, *lse_, *delta_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention

#endif
