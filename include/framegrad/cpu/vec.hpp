// Vectors of a fixed number of bytes.
//
//   Vec<A, B>    B/sizeof(A) numbers, with + − * / and comparisons between vectors and scalars
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
  FRAMEGRAD_INLINE friend Vec min(const Vec& a, const Vec& b) {
#if defined(__x86_64__) && !defined(__clang__)
    if constexpr (std::is_same_v<A, float> && B > 16) {  // g++ 12 makes a comparison and a choice of it
      Vec y;
      __asm__("vminps %2, %1, %0" : "=v"(y.v) : "v"(a.v), "v"(b.v));
      return y;
    }
#endif
    return of(a.v < b.v ? a.v : b.v);
  }
  FRAMEGRAD_INLINE friend Vec max(const Vec& a, const Vec& b) {
#if defined(__x86_64__) && !defined(__clang__)
    if constexpr (std::is_same_v<A, float> && B > 16) {
      Vec y;
      __asm__("vmaxps %2, %1, %0" : "=v"(y.v) : "v"(a.v), "v"(b.v));
      return y;
    }
#endif
    return of(a.v > b.v ? a.v : b.v);
  }
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

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
