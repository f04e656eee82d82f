// What is added to attention's scores: a bias, and −∞ where a mask does not show a key.
//
//   SeenIn        does a block see all, some or none of its keys: blocks without any are left out, and to whole ones nothing is added
//   AddAcross     to panels [keys, queries], for kernels whose lanes are queries
//   PackPairs     as bf16, in pairs of keys
//   AddedRows     [queries, keys], for kernels whose lanes are keys
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
    U zero(0), other(0);
    bool zeros = false, others = false;
    const Index rows = mask.query == 0 ? 1 : b.queries;
    for (Index q = 0; q < rows; ++q) {
      const std::uint8_t* const p = mask.seen + offset(mask, s, b.q0 + q, b.k0);
      Index k = 0;
      for (; k + B <= b.keys; k += B) {
        const U x = detail::load_all<U>(reinterpret_cast<const std::uint32_t*>(p + k));
        zero = zero | ((x - U(0x01010101u)) & (x ^ U(~0u)) & U(0x80808080u));  // not 0 where one of the bytes is 0
        other = other | x;
      }
      for (; k < b.keys; ++k) (p[k] ? others : zeros) = true;
    }
    zeros |= max_across(zero) != 0, others |= max_across(other) != 0;
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

#if defined(__x86_64__)
/// The first key of a pair in the lower half; `padded` queries, zeros behind the block's.
struct PackPairs {
  template <int B>
  FRAMEGRAD_INLINE static void run(const Problem<bf16>& p, const Sequence& s, const Block& b, Index padded, Panels<Pair> to) {
    static_assert(B == 64);
    using Tl = Tiling<Pair, B>;
    using V = Vec<Pair, B>;
    constexpr int L = V::lanes;
    if (!AddedSource<bf16>::serves(p)) {
      for (Index k = 0; k < b.keys; k += 2)
        for (Index q = 0; q < padded; ++q) *to.at<Tl>(k / 2, q) = 0;
      return each_added(p, s, b, [&](Index q, Index k, float x) FRAMEGRAD_LAMBDA { *to.at<Tl>(k / 2, q) |= Pair(bf16(x).bits) << (k % 2 * 16); });
    }
    const AddedSource<bf16> from(p, s, b);
    for (Index i = 0; i < padded; i += L) {
      for (Index k = 0; k < b.keys; k += 2 * L) {
        const int keys = b.keys - k < 2 * L ? int(b.keys - k) : 2 * L;
        V x[L];
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r) x[r] = i + r < b.queries ? row(from, i + r, k, keys) : V(0);
        detail::transpose(x);
        Pair* column = to.at<Tl>(k / 2, i);
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r) {
          if (2 * r < keys) detail::store_all(column + r * Tl::W, x[r]);
        }
      }
    }
  }

 private:
  using Halves = detail::Native<std::uint16_t, 64>::type;

  /// Up to 32 keys of a query.
  FRAMEGRAD_INLINE static Vec<Pair, 64> row(const AddedSource<bf16>& from, Index query, Index k, int keys) {
    alignas(64) std::uint16_t bias[32] = {};
    alignas(32) std::uint8_t seen[32] = {};
    const std::uint8_t* mask = from.seen ? from.seen + query * from.seen_stride + k : nullptr;
    const bf16* add = from.bias ? from.bias + query * from.bias_stride + k : nullptr;
    if (keys < 32) {  // what lies behind the row is not read
      if (mask) detail::copy_rest<16>(seen, mask, keys), mask = seen;
      if (add) detail::copy_rest<16>(bias, reinterpret_cast<const std::uint16_t*>(add), keys), add = reinterpret_cast<const bf16*>(bias);
    }
    Halves x = {};
    if (add) __builtin_memcpy(&x, add, sizeof x);
    if (mask) {
      detail::Native<std::uint8_t, 32>::type bytes;
      __builtin_memcpy(&bytes, mask, sizeof bytes);
      x = __builtin_convertvector(bytes, Halves) == 0 ? Halves{} + std::uint16_t(0xff80) : x;  // −∞
    }
    return Vec<Pair, 64>::of((Vec<Pair, 64>::Native)x);
  }
};
#endif

/// A row for each query, `stride` apart; zeros in the rows from the block's to `padded`.
struct AddedRows {
  template <int B>
  FRAMEGRAD_INLINE static void run(const Problem<bf16>& p, const Sequence& s, const Block& b, Index padded, float* to, Index stride) {
    using V = Vec<float, B>;
    for (Index q = b.queries; q < padded; ++q) std::memset(to + q * stride, 0, std::size_t(stride) * sizeof(float));
    if (!AddedSource<bf16>::serves(p)) return each_added(p, s, b, [&](Index q, Index k, float x) FRAMEGRAD_LAMBDA { to[q * stride + k] = x; });
    const AddedSource<bf16> from(p, s, b);
    from.with_load<V>([&](auto load) FRAMEGRAD_LAMBDA {
      for (Index q = 0; q < b.queries; ++q) each<V>(b.keys, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(to + q * stride, load(q, l)); });
    });
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
