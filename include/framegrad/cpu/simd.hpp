// Vectors of a fixed number of bytes, and the loops over them that a kernel is written with.
//
//   Vec<A, B>    B/sizeof(A) numbers, with + − * / and comparisons between vectors and scalars
//   Lanes<V>     a place in a loop: loads and stores V at it, converting; at the end of a row, of just the lanes that are left
//   each, sum, max   the loops
//
// Everything is inlined into the caller and so takes the instruction set of the function that `dispatch` entered.
// The type is a struct because a bare vector in a signature changes the calling convention with the instruction set.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {
template <class A, int B> struct Native { typedef A type __attribute__((vector_size(B))); };
template <int Bytes> struct IntOf;
template <> struct IntOf<4> { using type = std::int32_t; using bits = std::uint32_t; };
template <> struct IntOf<8> { using type = std::int64_t; using bits = std::uint64_t; };
}  // namespace detail

/// Which lanes a comparison holds in: all bits of a lane, or none.
template <class A, int B>
struct Mask {
  typename detail::Native<typename detail::IntOf<sizeof(A)>::type, B>::type v;
  FRAMEGRAD_INLINE friend Mask operator&(const Mask& a, const Mask& b) { return {a.v & b.v}; }
  FRAMEGRAD_INLINE friend Mask operator|(const Mask& a, const Mask& b) { return {a.v | b.v}; }
  FRAMEGRAD_INLINE friend Mask operator!(const Mask& a) { return {~a.v}; }
};

template <class A, int B>
struct Vec {
  using Scalar = A;
  using Native = typename detail::Native<A, B>::type;
  static constexpr int bytes = B;
  static constexpr int lanes = B / int(sizeof(A));

  Native v;

  Vec() = default;
  FRAMEGRAD_INLINE Vec(A a) {
#if defined(__x86_64__) && !defined(__clang__)
    // g++ 12 makes one insertion a lane of a run-time broadcast that is wider than the unit's default vectors.
    if constexpr (B > 16) {
      if (!__builtin_constant_p(a)) {
        if constexpr (sizeof(A) == 4) __asm__("vbroadcastss %1, %0" : "=v"(v) : "xm"(a));
        else __asm__("vbroadcastsd %1, %0" : "=v"(v) : "xm"(a));
        return;
      }
    }
#endif
    v = a - Native{};  // a − 0 keeps the sign of a zero
  }
  FRAMEGRAD_INLINE static Vec of(const Native& v) {
    Vec r;
    r.v = v;
    return r;
  }
  FRAMEGRAD_INLINE A operator[](int lane) const { return v[lane]; }

  FRAMEGRAD_INLINE friend Vec operator+(const Vec& a, const Vec& b) { return of(a.v + b.v); }
  FRAMEGRAD_INLINE friend Vec operator-(const Vec& a, const Vec& b) { return of(a.v - b.v); }
  FRAMEGRAD_INLINE friend Vec operator*(const Vec& a, const Vec& b) { return of(a.v * b.v); }
  FRAMEGRAD_INLINE friend Vec operator/(const Vec& a, const Vec& b) { return of(a.v / b.v); }
  FRAMEGRAD_INLINE friend Vec operator-(const Vec& a) { return of(-a.v); }
  FRAMEGRAD_INLINE Vec& operator+=(const Vec& b) { v += b.v; return *this; }
  FRAMEGRAD_INLINE Vec& operator-=(const Vec& b) { v -= b.v; return *this; }
  FRAMEGRAD_INLINE Vec& operator*=(const Vec& b) { v *= b.v; return *this; }
  FRAMEGRAD_INLINE Vec& operator/=(const Vec& b) { v /= b.v; return *this; }

  FRAMEGRAD_INLINE friend Vec operator&(const Vec& a, const Vec& b) requires std::is_integral_v<A> { return of(a.v & b.v); }
  FRAMEGRAD_INLINE friend Vec operator|(const Vec& a, const Vec& b) requires std::is_integral_v<A> { return of(a.v | b.v); }
  FRAMEGRAD_INLINE friend Vec operator^(const Vec& a, const Vec& b) requires std::is_integral_v<A> { return of(a.v ^ b.v); }
  FRAMEGRAD_INLINE friend Vec operator<<(const Vec& a, int n) requires std::is_integral_v<A> { return of(a.v << n); }
  FRAMEGRAD_INLINE friend Vec operator>>(const Vec& a, int n) requires std::is_integral_v<A> { return of(a.v >> n); }

  FRAMEGRAD_INLINE friend Mask<A, B> operator<(const Vec& a, const Vec& b) { return {a.v < b.v}; }
  FRAMEGRAD_INLINE friend Mask<A, B> operator>(const Vec& a, const Vec& b) { return {a.v > b.v}; }
  FRAMEGRAD_INLINE friend Mask<A, B> operator<=(const Vec& a, const Vec& b) { return {a.v <= b.v}; }
  FRAMEGRAD_INLINE friend Mask<A, B> operator>=(const Vec& a, const Vec& b) { return {a.v >= b.v}; }
  FRAMEGRAD_INLINE friend Mask<A, B> operator==(const Vec& a, const Vec& b) { return {a.v == b.v}; }
  FRAMEGRAD_INLINE friend Mask<A, B> operator!=(const Vec& a, const Vec& b) { return {a.v != b.v}; }

  /// yes where the mask holds, no elsewhere.
  FRAMEGRAD_INLINE friend Vec select(const Mask<A, B>& m, const Vec& yes, const Vec& no) { return of(m.v ? yes.v : no.v); }
  /// a·b + c: rounded once where the instruction set has FMA.
  FRAMEGRAD_INLINE friend Vec fma(const Vec& a, const Vec& b, const Vec& c) { return of(a.v * b.v + c.v); }
  /// Of a NaN and a number, the second argument.
  FRAMEGRAD_INLINE friend Vec min(const Vec& a, const Vec& b) { return of(a.v < b.v ? a.v : b.v); }
  FRAMEGRAD_INLINE friend Vec max(const Vec& a, const Vec& b) { return of(a.v > b.v ? a.v : b.v); }
};

template <class V> inline constexpr bool is_vec = false;
template <class A, int B> inline constexpr bool is_vec<Vec<A, B>> = true;

/// The same bits as numbers of type To, which has A's size.
template <class To, class A, int B>
FRAMEGRAD_INLINE Vec<To, B> bits_as(const Vec<A, B>& x) { return Vec<To, B>::of((typename Vec<To, B>::Native)x.v); }

/// Lane by lane, as static_cast does (a float is truncated to an integer).
template <class To, class A, int B>
FRAMEGRAD_INLINE auto convert(const Vec<A, B>& x) {
  using R = Vec<To, B / int(sizeof(A)) * int(sizeof(To))>;
  return R::of(__builtin_convertvector(x.v, typename R::Native));
}

/// f of each lane, one after the other.
template <class A, int B, class F>
FRAMEGRAD_INLINE Vec<A, B> lane_by_lane(const Vec<A, B>& x, F f) {
  Vec<A, B> y;
  for (int i = 0; i < Vec<A, B>::lanes; ++i) y.v[i] = f(x.v[i]);
  return y;
}

template <class A, int B>
FRAMEGRAD_INLINE Vec<A, B> abs(const Vec<A, B>& x) {
  if constexpr (std::is_floating_point_v<A>) {
    using U = typename detail::IntOf<sizeof(A)>::bits;
    return bits_as<A>(bits_as<U>(x) & Vec<U, B>(~U(0) >> 1));
  } else {
    return max(x, -x);
  }
}

/// |x| with the sign of s.
template <class A, int B>
FRAMEGRAD_INLINE Vec<A, B> copysign(const Vec<A, B>& x, const Vec<A, B>& s) {
  using U = typename detail::IntOf<sizeof(A)>::bits;
  const Vec<U, B> sign(~(~U(0) >> 1));
  return bits_as<A>((bits_as<U>(x) & (sign ^ Vec<U, B>(~U(0)))) | (bits_as<U>(s) & sign));
}

/// Correctly rounded.
template <class A, int B>
FRAMEGRAD_INLINE Vec<A, B> sqrt(const Vec<A, B>& x) {
#if defined(__x86_64__) && !defined(__clang__)
  // g++ has no generic vector square root, and its scalar one sets errno, which keeps it from being vectorised.
  Vec<A, B> y;
  if constexpr (sizeof(A) == 4 && B == 16) __asm__("sqrtps %1, %0" : "=x"(y.v) : "x"(x.v));
  if constexpr (sizeof(A) == 8 && B == 16) __asm__("sqrtpd %1, %0" : "=x"(y.v) : "x"(x.v));
  if constexpr (sizeof(A) == 4 && B > 16) __asm__("vsqrtps %1, %0" : "=v"(y.v) : "v"(x.v));
  if constexpr (sizeof(A) == 8 && B > 16) __asm__("vsqrtpd %1, %0" : "=v"(y.v) : "v"(x.v));
  return y;
#elif defined(__clang__) && __has_builtin(__builtin_elementwise_sqrt)
  return Vec<A, B>::of(__builtin_elementwise_sqrt(x.v));
#else
  return lane_by_lane(x, [](A a) FRAMEGRAD_LAMBDA { return std::sqrt(a); });
#endif
}

namespace detail {
template <class A, int B, int... I>
FRAMEGRAD_INLINE Vec<A, B / 2> half_of(const Vec<A, B>& x, int, std::integer_sequence<int, I...>) {
  return Vec<A, B / 2>::of(__builtin_shufflevector(x.v, x.v, I...));
}
template <int From, int... I>
constexpr auto shifted(std::integer_sequence<int, I...>) { return std::integer_sequence<int, From + I...>{}; }

/// Halves a vector until 16 bytes are left, then goes lane by lane: an order that depends on the width alone.
template <class A, int B, class F>
FRAMEGRAD_INLINE A across(const Vec<A, B>& x, F f) {
  constexpr int N = Vec<A, B>::lanes;
  if constexpr (B > 16) {
    constexpr auto low = std::make_integer_sequence<int, N / 2>{};
    return across(f(half_of(x, 0, low), half_of(x, 0, shifted<N / 2>(low))), f);
  } else if constexpr (N == 4) {
    return f(f(x[0], x[2]), f(x[1], x[3]));
  } else {
    return f(x[0], x[1]);
  }
}
}  // namespace detail

/// Sum and maximum over the lanes.
template <class A, int B>
FRAMEGRAD_INLINE A sum_across(const Vec<A, B>& x) {
  return detail::across(x, [](const auto& a, const auto& b) FRAMEGRAD_LAMBDA { return a + b; });
}
template <class A, int B>
FRAMEGRAD_INLINE A max_across(const Vec<A, B>& x) {
  return detail::across(x, [](const auto& a, const auto& b) FRAMEGRAD_LAMBDA {
    if constexpr (is_vec<std::remove_cvref_t<decltype(a)>>) return max(a, b);
    else return a > b ? a : b;
  });
}

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
template <class U>
FRAMEGRAD_INLINE void narrow16(void* p, const U& x) {
  Loaded<U, std::uint16_t> raw;
  if constexpr (kConvertByHand<U::bytes> && U::bytes == 64) __asm__("vpmovdw %1, %0" : "=v"(raw) : "v"(x.v));
  else raw = __builtin_convertvector(x.v, Loaded<U, std::uint16_t>);
  __builtin_memcpy(p, &raw, sizeof raw);
}

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
  } else if constexpr (std::is_same_v<T, bool>) {
    return load_all<V>(reinterpret_cast<const std::uint8_t*>(p));
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
