// The loops that a kernel is written with, over vectors (vec.hpp).
//
//   Lanes<V>     a place in a loop: loads and stores V at it, converting; at the end of a row, of just the lanes that are left
//   each, sum, max   the loops
//
// Everything is inlined into the caller and so takes the instruction set of the function that `dispatch` entered.
#pragma once

#include <framegrad/cpu/vec.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

template <class V, class T> using Loaded = typename Native<T, V::lanes * int(sizeof(T))>::type;

// g++ 12 takes conversions between element sizes apart into halves, and has no name for F16C's that a generic function may use.
#if defined(__x86_64__) && !defined(__clang__)
template <int B> inline constexpr bool kConvertByHand = B > 16;
#else
template <int B> inline constexpr bool kConvertByHand = false;
#endif

/// The bits of N numbers of 2 bytes, widened.
template <class V>
FRAMEGRAD_INLINE auto widen16(const void* p) {
  using U = Vec<std::uint32_t, V::bytes>;
  Loaded<V, std::uint16_t> raw;
  __builtin_memcpy(&raw, p, sizeof raw);
  if constexpr (kConvertByHand<V::bytes>) {
    U wide;
    __asm__("vpmovzxwd %1, %0" : "=v"(wide.v) : "vm"(raw));
    return wide;
  } else {
    return U::of(__builtin_convertvector(raw, typename U::Native));
  }
}
/// Bytes as numbers.
template <class V>
FRAMEGRAD_INLINE V widen8(const void* p) {
  Loaded<V, std::uint8_t> raw;
  __builtin_memcpy(&raw, p, sizeof raw);
  if constexpr (kConvertByHand<V::bytes> && sizeof(typename V::Scalar) == 4) {
    Vec<std::int32_t, V::bytes> wide;
    __asm__("vpmovzxbd %1, %0" : "=v"(wide.v) : "m"(raw));
    return V::of(__builtin_convertvector(wide.v, typename V::Native));
  } else {
    return V::of(__builtin_convertvector(raw, typename V::Native));
  }
}
template <class U>
FRAMEGRAD_INLINE void narrow16(void* p, const U& x) {
  Loaded<U, std::uint16_t> raw;
  if constexpr (kConvertByHand<U::bytes> && U::bytes == 64) __asm__("vpmovdw %1, %0" : "=v"(raw) : "v"(x.v));
  else raw = __builtin_convertvector(x.v, Loaded<U, std::uint16_t>);
  __builtin_memcpy(p, &raw, sizeof raw);
}

#if defined(__x86_64__) && !defined(__clang__)
/// Stores as fg::bf16 rounds, in 6 instructions: masks, and one permutation that takes the high halves.
FRAMEGRAD_INLINE void round16(void* p, const Vec<float, 64>& x) {
  using U = Vec<std::uint32_t, 64>;
  alignas(64) static constexpr auto kHigh = [] {
    std::array<std::uint16_t, 32> a{};
    for (int i = 0; i < 16; ++i) a[i] = std::uint16_t(2 * i + 1), a[i + 16] = a[i];
    return a;
  }();
  unsigned short nan, odd;
  U u = bits_as<std::uint32_t>(x);
  __asm__("vptestmd %1, %2, %0" : "=Yk"(odd) : "v"(u.v), "v"(U(0x10000u).v));
  __asm__("vcmpunordps %1, %1, %0" : "=Yk"(nan) : "v"(x.v));
  // A NaN becomes a quiet one without a low half, so that it is not rounded.
  __asm__("vpternlogd $0xea, %1, %2, %0 %{%3%}" : "+v"(u.v) : "v"(U(0x400000u).v), "v"(U(0xffff0000u).v), "Yk"(nan));
  u = u + U(0x7fffu);
  __asm__("vpaddd %1, %0, %0 %{%2%}" : "+v"(u.v) : "v"(U(1).v), "Yk"(odd));
  Native<std::uint16_t, 64>::type index, high;
  __builtin_memcpy(&index, kHigh.data(), 64);
  __asm__("vpermw %1, %2, %0" : "=v"(high) : "v"(u.v), "v"(index));
  __builtin_memcpy(p, &high, 32);
}
#endif

template <class V, class T>
FRAMEGRAD_INLINE V load_all(const T* p) {
  using A = typename V::Scalar;
  if constexpr (std::is_same_v<T, A>) {
    V x;
    __builtin_memcpy(&x.v, p, sizeof x.v);
    return x;
  } else if constexpr (std::is_same_v<T, bf16>) {
    return bits_as<float>(widen16<V>(p) << 16);
  } else if constexpr (std::is_same_v<T, half> && kConvertByHand<V::bytes>) {
    Loaded<V, std::uint16_t> raw;
    __builtin_memcpy(&raw, p, sizeof raw);
    V x;
    __asm__("vcvtph2ps %1, %0" : "=v"(x.v) : "vm"(raw));
    return x;
  } else if constexpr (std::is_same_v<T, half>) {
    const auto h = widen16<V>(p);
    using U = std::remove_cv_t<decltype(h)>;
    const U a = h & U(0x7fffu);
    const V finite = bits_as<float>(a << 13) * V(0x1p112f);  // moves the exponent's bias from 15 to 127; exact, subnormals too
    const U bits = bits_as<std::uint32_t>(finite) | (h & U(0x8000u)) << 16;
    return bits_as<float>(select(a > U(0x7bffu), bits | U(0x7f800000u), bits));
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return V::of(widen16<V>(p).v);
  } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::uint8_t>) {
    return widen8<V>(p);
  } else {
    Loaded<V, T> raw;
    __builtin_memcpy(&raw, p, sizeof raw);
    return V::of(__builtin_convertvector(raw, typename V::Native));
  }
}

template <class V, class T>
FRAMEGRAD_INLINE void store_all(T* p, const V& x) {
  using A = typename V::Scalar;
  using U = Vec<std::uint32_t, V::bytes>;
  if constexpr (std::is_same_v<T, A>) {
    __builtin_memcpy(p, &x.v, sizeof x.v);
  } else if constexpr (std::is_same_v<T, bf16>) {  // the rounding of fg::bf16, in lanes
    if constexpr (kConvertByHand<V::bytes> && V::bytes == 64) return round16(p, x);
    const U u = bits_as<std::uint32_t>(x);
    const U rounded = (u + U(0x7fffu) + ((u >> 16) & U(1))) >> 16;
    narrow16(p, select((u & U(0x7fffffffu)) > U(0x7f800000u), (u >> 16) | U(0x40u), rounded));
  } else if constexpr (std::is_same_v<T, half> && kConvertByHand<V::bytes>) {
    Loaded<V, std::uint16_t> raw;
    __asm__("vcvtps2ph $0, %1, %0" : "=v"(raw) : "v"(x.v));  // 0: to nearest even
    __builtin_memcpy(static_cast<void*>(p), &raw, sizeof raw);
  } else if constexpr (std::is_same_v<T, half>) {  // the rounding of fg::half, in lanes
    const U u = bits_as<std::uint32_t>(x), a = u & U(0x7fffffffu);
    const U normal = (a - U(0x38000000u) + U(0xfffu) + ((a >> 13) & U(1))) >> 13;
    const U small = bits_as<std::uint32_t>(bits_as<float>(a) + V(0.5f)) - U(0x3f000000u);
    const U finite = select(a < U(0x38800000u), small, normal);
    const U infinite = select(a > U(0x7f800000u), U(0x7e00u), U(0x7c00u));
    narrow16(p, select(a < U(0x477ff000u), finite, infinite) | ((u >> 16) & U(0x8000u)));
  } else {
    const auto raw = __builtin_convertvector(x.v, Loaded<V, T>);
    __builtin_memcpy(p, &raw, sizeof raw);
  }
}

/// Copies the `count` < 2·Step numbers in pieces of Step, Step/2, …: no call, and no loop over single numbers.
template <int Step, class T>
FRAMEGRAD_INLINE void copy_rest(T* to, const T* from, int count) {
  if (count & Step) {
    __builtin_memcpy(static_cast<void*>(to), from, Step * sizeof(T));
    to += Step, from += Step;
  }
  if constexpr (Step > 1) copy_rest<Step / 2>(to, from, count);
}

}  // namespace detail

/// Lanes [index, index + count) of a loop. In the last step of a row count may be less than V has;
/// loads then fill up with zeros, and stores leave what lies behind the row alone.
template <class V>
struct Lanes {
  static constexpr int N = V::lanes;
  Index index;
  int count = N;

  template <class T>
  FRAMEGRAD_INLINE V load(const T* p) const {
    if (count == N) return detail::load_all<V>(p + index);
    alignas(64) T part[N] = {};
    detail::copy_rest<N / 2>(part, p + index, count);
    return detail::load_all<V>(part);
  }

  template <class T>
  FRAMEGRAD_INLINE void store(T* p, const V& x) const {
    if (count == N) return detail::store_all(p + index, x);
    alignas(64) T part[N];
    detail::store_all(part, x);
    detail::copy_rest<N / 2>(p + index, part, count);
  }

  /// x in the lanes of the row, `other` in those behind its end.
  FRAMEGRAD_INLINE V within(const V& x, const V& other) const {
    if (count == N) return x;
    Mask<typename V::Scalar, V::bytes> inside;
    __builtin_memcpy(&inside.v, kInside.data() + N - count, sizeof inside.v);
    return select(inside, x, other);
  }

 private:
  using Flag = typename detail::IntOf<sizeof(typename V::Scalar)>::type;
  static constexpr auto kInside = [] {  // N times all bits, N times none: a mask for every count
    std::array<Flag, 2 * N> flags{};
    for (int i = 0; i < N; ++i) flags[i] = Flag(-1);
    return flags;
  }();
};

/// f(lanes) over [0, n).
template <class V, class F>
FRAMEGRAD_INLINE void each(Index n, F&& f) {
  constexpr int N = V::lanes;
  Index i = 0;
  for (; i + N <= n; i += N) f(Lanes<V>{i});
  if (i < n) f(Lanes<V>{i, int(n - i)});
}

namespace detail {
/// Four accumulators hide the latency of `join`; the order depends on n and the width alone.
template <class V, class F, class J>
FRAMEGRAD_INLINE V fold(Index n, const V& neutral, F& f, J join) {
  constexpr int N = V::lanes;
  V a = neutral, b = neutral, c = neutral, d = neutral;
  Index i = 0;
  for (; i + 4 * N <= n; i += 4 * N) {
    a = join(a, f(Lanes<V>{i}));
    b = join(b, f(Lanes<V>{i + N}));
    c = join(c, f(Lanes<V>{i + 2 * N}));
    d = join(d, f(Lanes<V>{i + 3 * N}));
  }
  for (; i + N <= n; i += N) a = join(a, f(Lanes<V>{i}));
  if (i < n) {
    const Lanes<V> l{i, int(n - i)};
    b = join(b, l.within(f(l), neutral));
  }
  return join(join(a, c), join(b, d));
}
}  // namespace detail

/// Σ f(lanes) over [0, n).
template <class V, class F>
FRAMEGRAD_INLINE typename V::Scalar sum(Index n, F&& f) {
  return sum_across(detail::fold<V>(n, V(0), f, [](const V& a, const V& b) FRAMEGRAD_LAMBDA { return a + b; }));
}

/// The largest f(lanes) over [0, n); −∞ (or the lowest integer) if n is 0.
template <class V, class F>
FRAMEGRAD_INLINE typename V::Scalar max(Index n, F&& f) {
  using Limits = std::numeric_limits<typename V::Scalar>;
  const V lowest(Limits::has_infinity ? -Limits::infinity() : Limits::lowest());
  return max_across(detail::fold<V>(n, lowest, f, [](const V& a, const V& b) FRAMEGRAD_LAMBDA { return max(a, b); }));
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
