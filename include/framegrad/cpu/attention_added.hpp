// What is added to attention's scores: a bias, and −∞ where a mask does not show a key.
//
//   SeenIn        does a block see all, some or none of its keys: blocks without any are left out, and to whole ones nothing is added
//   AddAcross     to panels [keys, queries], for kernels whose lanes are queries
//   AddPairs      the same for bf16, by pairs of keys
//   AddedSource   its rows, for kernels whose lanes are keys
#pragma once

#include <cstring>

#include <framegrad/cpu/attention_power.hpp>
#include <framegrad/cpu/attention_problem.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// By the mask alone; `some` too where its keys don't lie side by side.
struct SeenIn {
  template <int B>
  FRAMEGRAD_INLINE static void run(const AttentionMask& mask, const Sequence& s, const Block& b, Seen* to) {
    using U = Vec<std::uint32_t, B>;
    *to = mask.seen ? Seen::some : Seen::all;
    if (!mask.seen || mask.key != 1) return;
    bool zeros = false, others = false;
    const Index rows = mask.query == 0 ? 1 : b.queries;
    for (Index q = 0; q < rows && !(zeros && others); ++q) {
      U zero(0), other(0);
      const std::uint8_t* const p = mask.seen + offset(mask, s, b.q0 + q, b.k0);
      Index k = 0;
      for (; k + B <= b.keys; k += B) {
        const U x = detail::load_all<U>(reinterpret_cast<const std::uint32_t*>(p + k));
        zero = zero | ((x - U(0x01010101u)) & (x ^ U(~0u)) & U(0x80808080u));  // not 0 where one of the bytes is 0
        other = other | x;
      }
      for (; k < b.keys; ++k) (p[k] ? others : zeros) = true;
      zeros |= max_across(zero) != 0, others |= max_across(other) != 0;
    }
    *to = !others ? Seen::none : zeros ? Seen::some : Seen::all;
  }
};
template <int B, class T>
FRAMEGRAD_INLINE Seen seen_in(const Problem<T>& p, const Sequence& s, const Block& b) {
  Seen seen = Seen::all;
  if (p.mask.seen) call<SeenIn, B>(p.mask, s, b, &seen);
  return seen;
}

/// The rows of a block where bias and mask have keys side by side.
template <class T>
struct AddedSource {
  const T* bias;
  const std::uint8_t* seen;
  Index bias_stride, seen_stride;

  FRAMEGRAD_INLINE AddedSource(const Problem<T>& p, const Sequence& s, const Block& b)
      : bias(p.bias.data ? p.bias.data + offset(p.bias, s, b.q0, b.k0) : nullptr), seen(p.mask.seen ? p.mask.seen + offset(p.mask, s, b.q0, b.k0) : nullptr),
        bias_stride(p.bias.query), seen_stride(p.mask.query) {}
  FRAMEGRAD_INLINE static bool serves(const Problem<T>& p) { return (!p.bias.data || p.bias.key == 1) && (!p.mask.seen || p.mask.key == 1); }

  /// f(load), with load(query, lanes) for what there is: no question is left inside of loops.
  template <class V, class F>
  FRAMEGRAD_INLINE void with_load(F&& f) const {
    const auto added = [&](Index query, const Lanes<V>& l) FRAMEGRAD_LAMBDA { return l.load(bias + query * bias_stride); };
    const auto shown = [&](Index query, const Lanes<V>& l, const V& x) FRAMEGRAD_LAMBDA {
      return select(l.load(seen + query * seen_stride) == V(0), V(-std::numeric_limits<typename V::Scalar>::infinity()), x);
    };
    if (!seen) f(added);
    else if (!bias) f([&](Index query, const Lanes<V>& l) FRAMEGRAD_LAMBDA { return shown(query, l, V(0)); });
    else f([&](Index query, const Lanes<V>& l) FRAMEGRAD_LAMBDA { return shown(query, l, added(query, l)); });
  }
};

/// store(query, key, added) for a bias and a mask of any strides.
template <class T, class F>
FRAMEGRAD_INLINE void each_added(const Problem<T>& p, const Sequence& s, const Block& b, F&& store) {
  using A = accum_t<T>;
  const AddedSource<T> from(p, s, b);
  for (Index k = 0; k < b.keys; ++k) {
    for (Index q = 0; q < b.queries; ++q) {
      const bool hidden = from.seen && !from.seen[q * p.mask.query + k * p.mask.key];
      store(q, k, hidden ? -std::numeric_limits<A>::infinity() : from.bias ? A(from.bias[q * p.bias.query + k * p.bias.key]) : A(0));
    }
  }
}

/// Adds it to scores [keys, queries], in units of log 2.
struct AddAcross {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const Problem<T>& p, const Sequence& s, const Block& b, Panels<A> scores) {
    using Tl = Tiling<A, B>;
    using V = typename Tl::V;
    if (!AddedSource<T>::serves(p)) {
      return each_added(p, s, b, [&](Index q, Index k, A x) FRAMEGRAD_LAMBDA { *scores.template at<Tl>(k, q) += x * A(kLog2E); });
    }
    const auto put = [](A* at, const V& x) FRAMEGRAD_LAMBDA { detail::store_all(at, fma(x, V(A(kLog2E)), detail::load_all<V>(at))); };
    const AddedSource<T> from(p, s, b);
    from.template with_load<V>([&](auto load) FRAMEGRAD_LAMBDA { each_across<Tl>(b.queries, b.keys, round_up(b.queries, Tl::kPad), load, scores, put); });
  }
};

/// What is added to a block, before it is read.
struct AddedToCome {
  RowsToCome bias, seen;

  template <class T>
  FRAMEGRAD_INLINE AddedToCome(const Problem<T>& p, const Sequence& s, const Block& b) : AddedToCome(AddedSource<T>(p, s, b), p, b) {}
  FRAMEGRAD_INLINE void fetch(Index lines) { bias.fetch(lines), seen.fetch(lines); }

 private:
  template <class T>
  FRAMEGRAD_INLINE AddedToCome(const AddedSource<T>& from, const Problem<T>& p, const Block& b)
      : bias(from.bias, from.bias_stride, p.bias.key == 1 ? b.queries : 0, b.keys), seen(from.seen, from.seen_stride, p.mask.key == 1 ? b.queries : 0, b.keys) {}
};

#if defined(__x86_64__)
/// scores ← factor·scores + added, for a panel of queries; whole vectors of keys' pairs, also behind the block's last key.
struct AddPairs {
  template <int B>
  FRAMEGRAD_INLINE static void run(const Problem<bf16>& p, const Sequence& s, const Block& b, float factor, float* scores) {
    static_assert(B == 64);
    if (!AddedSource<bf16>::serves(p)) {
      return each_added(p, s, b, [&](Index q, Index k, float x) FRAMEGRAD_LAMBDA { scores[k * W + q] = scores[k * W + q] * factor + x; });
    }
    const AddedSource<bf16> all(p, s, b);
    bf16 bias[L * 2 * L];
    std::uint8_t seen[L * 2 * L];
    for (Index i = 0; i < b.queries; i += L) {
      for (Index k = 0; k < b.keys; k += 2 * L) {
        AddedSource<bf16> from = all;
        if (from.bias) from.bias += i * from.bias_stride + k;
        if (from.seen) from.seen += i * from.seen_stride + k;
        if (b.queries - i < L || b.keys - k < 2 * L) {  // what lies behind the rows is not read
          const Index queries = b.queries - i < L ? b.queries - i : L, keys = b.keys - k < 2 * L ? b.keys - k : 2 * L;
          if (from.bias) from.bias = padded(from.bias, from.bias_stride, queries, keys, bias), from.bias_stride = 2 * L;
          if (from.seen) from.seen = padded(from.seen, from.seen_stride, queries, keys, seen), from.seen_stride = 2 * L;
        }
        float* const to = scores + k * W + i;
        if (!from.seen) square(from, to, factor, [](const AddedSource<bf16>& x, int r) FRAMEGRAD_LAMBDA { return added(x, r); });
        else if (!from.bias) square(from, to, factor, [](const AddedSource<bf16>& x, int r) FRAMEGRAD_LAMBDA { return shown(x, r, P(0)); });
        else square(from, to, factor, [](const AddedSource<bf16>& x, int r) FRAMEGRAD_LAMBDA { return shown(x, r, added(x, r)); });
      }
    }
  }

 private:
  using V = Vec<float, 64>;
  using P = Vec<Pair, 64>;
  using Halves = detail::Native<std::uint16_t, 64>::type;
  static constexpr int L = V::lanes, W = Tiling<float, 64>::W;

  template <class T>
  FRAMEGRAD_INLINE static const T* padded(const T* from, Index stride, Index queries, Index keys, T* to) {
    std::memset(static_cast<void*>(to), 0, L * 2 * L * sizeof(T));
    for (Index r = 0; r < queries; ++r) std::memcpy(static_cast<void*>(to + r * 2 * L), from + r * stride, std::size_t(keys) * sizeof(T));
    return to;
  }
  /// 32 keys of query r.
  FRAMEGRAD_INLINE static P added(const AddedSource<bf16>& from, int r) {
    P x;
    __builtin_memcpy(&x.v, from.bias + r * from.bias_stride, sizeof x.v);
    return x;
  }
  FRAMEGRAD_INLINE static P shown(const AddedSource<bf16>& from, int r, const P& x) {
    const Halves hidden = Halves{} + std::uint16_t(0xff80);  // −∞
    return P::of((P::Native)((Halves)widened<64>(from.seen + r * from.seen_stride).v == 0 ? hidden : (Halves)x.v));
  }
  /// Bytes as halves of units.
  template <int B>
  FRAMEGRAD_INLINE static Vec<Pair, B> widened(const std::uint8_t* p) {
    typename detail::Native<std::uint8_t, B / 2>::type bytes;
    typename detail::Native<std::uint16_t, B>::type wide;
    __builtin_memcpy(&bytes, p, sizeof bytes);
    if constexpr (detail::kConvertByHand<B>) __asm__("vpmovzxbw %1, %0" : "=v"(wide) : "vm"(bytes));
    else wide = __builtin_convertvector(bytes, decltype(wide));
    return Vec<Pair, B>::of((typename Vec<Pair, B>::Native)wide);
  }

  /// 16 queries, 32 keys: pairs of keys across, then each key by itself.
  template <class F>
  FRAMEGRAD_INLINE static void square(const AddedSource<bf16>& from, float* to, float factor, F load) {
    P x[L];
#pragma GCC unroll 16
    for (int r = 0; r < L; ++r) x[r] = load(from, r);
    detail::transpose(x);
    const auto add = [&](float* at, const P& bits) FRAMEGRAD_LAMBDA { detail::store_all(at, fma(detail::load_all<V>(at), V(factor), bits_as<float>(bits))); };
#pragma GCC unroll 16
    for (int r = 0; r < L; ++r, to += 2 * W) add(to, x[r] << 16), add(to + W, x[r] & P(0xffff0000u));
  }
};
#endif

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
