// 2^x for attention's probabilities: scores are kept in units of log 2, so that no reduction by ln 2 is left to do.
//
//   x = n + r, |r| ≤ ½     2^x = 2^n·P(r)     P fitted by weighted least squares on Chebyshev nodes (Lawson's iteration)
//
// Arguments are differences to a maximum or to a log of a sum, so nothing is done against overflow; below 2^-126 the result is 0.
#pragma once

#include <framegrad/cpu/math.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

inline constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

template <int B, class... C>
FRAMEGRAD_INLINE Vec<float, B> power_of_two(const Vec<float, B>& x, C... coefficients) {
  using V = Vec<float, B>;
  const V shifted = x + V(detail::kRound), r = x - (shifted - V(detail::kRound));
  const V p = detail::polynomial(r, coefficients...);
  // The integer n stands in the lowest bits of `shifted`; NaN passes. Unsigned: lanes without a key may run over, and aren't used.
  return select(x < V(-126), V(0), bits_as<float>(bits_as<std::uint32_t>(p) + (bits_as<std::uint32_t>(shifted) << 23)));
}

/// Within 2 ulp; exactly 1 at 0.
template <int B>
FRAMEGRAD_INLINE Vec<float, B> power(const Vec<float, B>& x) {
  return power_of_two(x, 1.0f, 6.931472057e-01f, 2.402264689e-01f, 5.550328777e-02f, 9.618488958e-03f, 1.339993122e-03f, 1.534581184e-04f);
}
template <int B>
FRAMEGRAD_INLINE Vec<double, B> power(const Vec<double, B>& x) {
  return lane_by_lane(x, [](double v) { return std::exp2(v); });
}

/// Within 3e-6, for what is rounded to bf16's 4e-3.
template <int B>
FRAMEGRAD_INLINE Vec<float, B> coarse_power(const Vec<float, B>& x) {
  return power_of_two(x, 9.999992614e-01f, 6.931218147e-01f, 2.402474483e-01f, 5.591786030e-02f, 9.570101699e-03f);
}

/// log₂ x for x ≥ 1, within 2 ulp of max(1, log₂ x); −∞ for 0. A sum of powers, the largest of which is 1, is no other number.
template <int B>
FRAMEGRAD_INLINE Vec<float, B> logarithm(const Vec<float, B>& x) {
  using V = Vec<float, B>;
  using U = Vec<std::uint32_t, B>;
  const U u = bits_as<std::uint32_t>(x) - U(0x3f3504f3u);  // √½: what stands above it is the exponent, rounded
  const V n = convert<float>(bits_as<std::int32_t>(u) >> 23);
  const V f = bits_as<float>((u & U(0x7fffffu)) + U(0x3f3504f3u)) - V(1);
  const V p = detail::polynomial(f, 1.442694869e+00f, -7.213471285e-01f, 4.809225290e-01f, -3.607211931e-01f, 2.876566719e-01f,
                                 -2.385194716e-01f, 2.173794352e-01f, -2.103031673e-01f, 1.254121234e-01f);
  return select(x == V(0), V(-std::numeric_limits<float>::infinity()), fma(f, p, n));
}
template <int B>
FRAMEGRAD_INLINE Vec<double, B> logarithm(const Vec<double, B>& x) {
  return lane_by_lane(x, [](double v) { return std::log2(v); });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
