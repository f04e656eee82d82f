// exp, log, tanh, erf, sin, cos and sigmoid of scalars and of vectors, under one name each.
//
// Scalars, and vectors of double (lane by lane), take the standard library's. Vectors of float take polynomials, fitted
// here by weighted least squares on Chebyshev nodes (Lawson's iteration), after the usual reductions:
//   exp   x = n·ln2 + r          2^n·(1 + r + r²·P(r))
//   log   x = 2^n·(1 + f)        n·ln2 + f − f²/2 + f³·P(f)         1 + f in [√½, √2)
//   tanh  small x                x + x³·P(x²)           else 1 − 2/(e^2x + 1)
//   erf   small x                x·P(x²)                else 1 − e^P(x), P fits log erfc
//   sin, cos   x = n·π/2 + r, π/2 in four parts; beyond |x| = 8192 the standard library's
// On vectors of 512 bits, where a register holds a table of 16 and one instruction looks all lanes up in it:
//   exp   x = (n + i/16)·ln2 + r     2^n·2^(i/16)·(1 + r + r²·P(r))
//   gelu  Φ(x) and gelu'(x), each by polynomials about 32 points
//
// Error against the exact value, measured by the test: 2 ulp (exp, log), 3 ulp (tanh, erf, sigmoid); sin and cos 2 ulp,
// or 2⁻²⁴ where that is more.
// Infinities, NaN and subnormals come out as from the standard library.
#pragma once

#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

/// c0 + c1·x + c2·x² + …
template <class V>
FRAMEGRAD_INLINE V polynomial(const V&, float c) { return V(c); }
template <class V, class... C>
FRAMEGRAD_INLINE V polynomial(const V& x, float c, C... rest) { return fma(polynomial(x, rest...), x, V(c)); }

/// Adding and subtracting it rounds |x| < 2^22 to an integer, whose bits then stand in the sum's lowest ones.
inline constexpr float kRound = 0x1.8p23f;

/// 2^n for n in [−126, 127].
template <int B>
FRAMEGRAD_INLINE Vec<float, B> power_of_two(const Vec<std::int32_t, B>& n) {
  return bits_as<float>((n + Vec<std::int32_t, B>(127)) << 23);
}

#if defined(__x86_64__) && !defined(__clang__)  // g++ has no name for these instructions that a generic function may use
using Floats16 = Native<float, 64>::type;  // bare: g++ 12 keeps an asm's operand that is a Vec on the stack too

/// table[i], i the lowest bits of `at`.
FRAMEGRAD_INLINE Vec<float, 64> look_up(const std::array<float, 16>& table, const Vec<float, 64>& at) {
  const Floats16 i = at.v;
  Floats16 y;
  __builtin_memcpy(&y, table.data(), sizeof y);
  __asm__("vpermps %1, %2, %0" : "=v"(y) : "v"(y), "v"(i));
  return Vec<float, 64>::of(y);
}
FRAMEGRAD_INLINE Vec<float, 64> look_up(const std::array<float, 32>& table, const Vec<float, 64>& at) {
  const Floats16 i = at.v;
  Floats16 y, high;
  __builtin_memcpy(&y, table.data(), sizeof y);
  __builtin_memcpy(&high, table.data() + 16, sizeof high);
  __asm__("vpermt2ps %1, %2, %0" : "+v"(y) : "v"(high), "v"(i));
  return Vec<float, 64>::of(y);
}
/// x where |x| ≤ limit, else ±limit; of a NaN too.
FRAMEGRAD_INLINE Vec<float, 64> bounded(const Vec<float, 64>& x, const Vec<float, 64>& limit) {
  const Floats16 a = x.v, b = limit.v;
  Floats16 y;
  __asm__("vrangeps $2, %2, %1, %0" : "=v"(y) : "v"(a), "v"(b));
  return Vec<float, 64>::of(y);
}
/// x·2^⌊n⌋, rounded once.
FRAMEGRAD_INLINE Vec<float, 64> times_power_of_two(const Vec<float, 64>& x, const Vec<float, 64>& n) {
  const Floats16 a = x.v, b = n.v;
  Floats16 y;
  __asm__("vscalefps %2, %1, %0" : "=v"(y) : "v"(a), "v"(b));
  return Vec<float, 64>::of(y);
}

/// 2^(i/16), and what its rounding left of it, relative to it.
alignas(64) inline constexpr std::array<float, 16> kRoot = {
    1.000000000e+00f, 1.044273734e+00f, 1.090507746e+00f, 1.138788581e+00f, 1.189207077e+00f, 1.241857767e+00f, 1.296839595e+00f, 1.354255557e+00f,
    1.414213538e+00f, 1.476826191e+00f, 1.542210817e+00f, 1.610490322e+00f, 1.681792855e+00f, 1.756252170e+00f, 1.834008098e+00f, 1.915206552e+00f};
alignas(64) inline constexpr std::array<float, 16> kRootRest = {
    0.000e+00f, 4.629e-08f, -1.199e-08f, 4.730e-08f, 3.193e-08f, 3.621e-08f, -3.099e-08f, -7.475e-09f,
    1.711e-08f, -3.048e-08f, 5.233e-09f, 6.108e-09f, -1.472e-08f, -5.259e-09f, -6.128e-09f, 5.141e-09f};

FRAMEGRAD_INLINE Vec<float, 64> exp_by_table(const Vec<float, 64>& x) {
  using V = Vec<float, 64>;
  constexpr float kRound16 = 0x1.8p19f;  // kRound for sixteenths
  const V shifted = fma(x, V(1.44269504f), V(kRound16));
  const V n = shifted - V(kRound16);
  V r = fma(n, V(-0.693115234375f), x);  // ln2 in parts, the first of 12 bits: the product is exact, with and without FMA
  r = bounded(fma(n, V(-3.1946184945e-5f), r), V(0x1p-5f));  // where x is infinite or huge, n alone decides
  const V t = look_up(kRoot, shifted);
  const V p = fma(r * r, fma(r, V(1.666666667e-01f), V(5.000161e-01f)), r + look_up(kRootRest, shifted));
  return times_power_of_two(fma(t, p, t), n);
}

/// Φ(x), or gelu's slope Φ(x) + x·Φ'(x), about the points n·13/32, n in [−16, 16): Taylor's series economised to degree 5 (Lanczos);
/// point n stands at n mod 32. The outermost values are 0 and 1, which holds to half an ulp of 1 in what is beyond.
struct NormalTable {
  static constexpr double kStep = 13.0 / 32;
  alignas(64) std::array<std::array<float, 32>, 6> c{};

  constexpr explicit NormalTable(bool slope) {
    constexpr int K = 16;
    for (int n = -16; n < 16; ++n) {
      const double x = n * kStep;
      double inverse = 1, sum = 0;  // e^(x²/2), and Σ x^(2k+1)/(2k+1)!!
      double term = 1, odd = x;
      for (int k = 1; k < 100; ++k) sum += odd, odd *= x * x / (2 * k + 1), term *= x * x / (2 * k), inverse += term;
      double f[K + 1] = {0.39894228040143267794 / inverse};  // of the density
      f[1] = -x * f[0];
      for (int k = 1; k < K; ++k) f[k + 1] = -(x * f[k] + f[k - 1]) / (k + 1);
      double a[K] = {}, h = kStep / 2, power = 1;
      for (int k = 0; k < K; ++k, power *= h) a[k] = ((k == 0 ? 0.5 + f[0] * sum : f[k - 1] / k) - (slope ? (k + 1) * f[k + 1] : 0)) * power;
      double t[K][K] = {{1}, {0, 1}};  // Chebyshev's polynomials
      for (int k = 2; k < K; ++k)
        for (int i = 0; i <= k; ++i) t[k][i] = (i ? 2 * t[k - 1][i - 1] : 0) - t[k - 2][i];
      for (int k = K - 1; k > 5; --k)
        for (int i = 0; i < k; ++i) a[i] -= a[k] / t[k][k] * t[k][i];
      power = 1;
      for (int k = 0; k < 6; ++k, power *= h) c[k][n & 31] = float(a[k] / power);
    }
    c[0][16] = 0, c[0][15] = 1;
  }
};
inline constexpr NormalTable kNormal(false), kNormalSlope(true);

FRAMEGRAD_INLINE Vec<float, 64> by_table(const NormalTable& table, const Vec<float, 64>& v) {
  using V = Vec<float, 64>;
  const V x = max(V(-16 * NormalTable::kStep), min(V(15 * NormalTable::kStep), v));  // in this order a NaN stays one
  const V shifted = fma(x, V(float(1 / NormalTable::kStep)), V(kRound));
  const V t = fma(shifted - V(kRound), V(float(-NormalTable::kStep)), x);
  V y = look_up(table.c[5], shifted);
  y = fma(y, t, look_up(table.c[4], shifted));
  y = fma(y, t, look_up(table.c[3], shifted));
  y = fma(y, t, look_up(table.c[2], shifted));
  y = fma(y, t, look_up(table.c[1], shifted));
  return fma(y, t, look_up(table.c[0], shifted));
}
#endif

/// sin(x + quarter_turns·π/2).
template <int B>
FRAMEGRAD_INLINE Vec<float, B> sin_shifted(const Vec<float, B>& x, int quarter_turns) {
  using V = Vec<float, B>;
  using I = Vec<std::int32_t, B>;
  const V shifted = fma(x, V(0.636619772f), V(kRound));
  const V n = shifted - V(kRound);
  V r = fma(n, V(-1.5703125f), x);  // π/2 in parts of 11 bits: the products are exact
  r = fma(n, V(-4.8375129699707031e-4f), r);
  r = fma(n, V(-7.5495336204767227e-8f), r);
  r = fma(n, V(-2.5633441515945189e-12f), r);
  const I q = bits_as<std::int32_t>(shifted) + I(quarter_turns);
  const V t = r * r;
  const V s = fma(r * t, polynomial(t, -1.666666664e-01f, 8.333329144e-03f, -1.983925663e-04f, 2.717564411e-06f), r);
  const V c = fma(t * t, polynomial(t, 4.166666662e-02f, -1.388888344e-03f, 2.479943640e-05f, -2.720330338e-07f), fma(t, V(-0.5f), V(1)));
  const V y = select(Mask<float, B>{((q & I(1)) == I(1)).v}, c, s);
  return bits_as<float>(bits_as<std::int32_t>(y) ^ ((q & I(2)) << 30));
}

inline constexpr float kTurnLimit = 8192;

}  // namespace detail

FRAMEGRAD_INLINE float exp(float x) { return std::exp(x); }
FRAMEGRAD_INLINE float log(float x) { return std::log(x); }
FRAMEGRAD_INLINE float tanh(float x) { return std::tanh(x); }
FRAMEGRAD_INLINE float erf(float x) { return std::erf(x); }
FRAMEGRAD_INLINE float sin(float x) { return std::sin(x); }
FRAMEGRAD_INLINE float cos(float x) { return std::cos(x); }
FRAMEGRAD_INLINE float sqrt(float x) { return std::sqrt(x); }
FRAMEGRAD_INLINE float abs(float x) { return std::abs(x); }
FRAMEGRAD_INLINE double exp(double x) { return std::exp(x); }
FRAMEGRAD_INLINE double log(double x) { return std::log(x); }
FRAMEGRAD_INLINE double tanh(double x) { return std::tanh(x); }
FRAMEGRAD_INLINE double erf(double x) { return std::erf(x); }
FRAMEGRAD_INLINE double sin(double x) { return std::sin(x); }
FRAMEGRAD_INLINE double cos(double x) { return std::cos(x); }
FRAMEGRAD_INLINE double sqrt(double x) { return std::sqrt(x); }
FRAMEGRAD_INLINE double abs(double x) { return std::abs(x); }

template <int B>
FRAMEGRAD_INLINE Vec<double, B> exp(const Vec<double, B>& x) { return lane_by_lane(x, [](double v) { return std::exp(v); }); }
template <int B>
FRAMEGRAD_INLINE Vec<double, B> log(const Vec<double, B>& x) { return lane_by_lane(x, [](double v) { return std::log(v); }); }
template <int B>
FRAMEGRAD_INLINE Vec<double, B> tanh(const Vec<double, B>& x) { return lane_by_lane(x, [](double v) { return std::tanh(v); }); }
template <int B>
FRAMEGRAD_INLINE Vec<double, B> erf(const Vec<double, B>& x) { return lane_by_lane(x, [](double v) { return std::erf(v); }); }
template <int B>
FRAMEGRAD_INLINE Vec<double, B> sin(const Vec<double, B>& x) { return lane_by_lane(x, [](double v) { return std::sin(v); }); }
template <int B>
FRAMEGRAD_INLINE Vec<double, B> cos(const Vec<double, B>& x) { return lane_by_lane(x, [](double v) { return std::cos(v); }); }

template <int B>
FRAMEGRAD_INLINE Vec<float, B> exp(const Vec<float, B>& v) {
  using V = Vec<float, B>;
  using I = Vec<std::int32_t, B>;
#if defined(__x86_64__) && !defined(__clang__)
  if constexpr (B == 64) return detail::exp_by_table(v);
#endif
  const V top = select(v > V(90), V(90), v);  // past both, e^x is ∞ and 0; NaN passes
  const V x = select(top < V(-105), V(-105), top);
  const V shifted = fma(x, V(1.44269504f), V(detail::kRound));
  const V n = shifted - V(detail::kRound);
  V r = fma(n, V(-0.693145751953125f), x);
  r = fma(n, V(-1.4286068203094173e-6f), r);
  const V p = detail::polynomial(r, 5.000000101e-01f, 1.666651289e-01f, 4.166618728e-02f, 8.369598410e-03f, 1.395171725e-03f);
  const V y = fma(p, r * r, r) + V(1);
  const I whole = bits_as<std::int32_t>(shifted) - I(0x4b400000);
  const I part = whole >> 1;  // 2^n in two steps: n itself may lie outside the exponent's range
  return y * detail::power_of_two(part) * detail::power_of_two(whole - part);
}

template <int B>
FRAMEGRAD_INLINE Vec<float, B> log(const Vec<float, B>& v) {
  using V = Vec<float, B>;
  using I = Vec<std::int32_t, B>;
  const auto subnormal = v < V(0x1p-126f);
  const V x = select(subnormal, v * V(0x1p23f), v);
  using U = Vec<std::uint32_t, B>;
  const I u = bits_as<std::int32_t>(bits_as<std::uint32_t>(x) - U(0x3f3504f3u));  // √½: what stands above it is the exponent, rounded
  const V n = convert<float>(u >> 23) - select(subnormal, V(23), V(0));
  const V f = bits_as<float>((u & I(0x7fffff)) + I(0x3f3504f3)) - V(1);
  const V f2 = f * f;
  const V p = detail::polynomial(f, 3.333331044e-01f, -2.499998660e-01f, 2.000222661e-01f, -1.666925082e-01f, 1.421865809e-01f,
                                 -1.238434848e-01f, 1.187297631e-01f, -1.178980765e-01f, 6.915367971e-02f);
  const V low = fma(p, f * f2, fma(n, V(1.4286068203094173e-6f), f2 * V(-0.5f)));
  const V y = fma(n, V(0.693145751953125f), f + low);
  const float infinity = std::numeric_limits<float>::infinity();
  const V special = select(v == V(0), V(-infinity), select(v < V(0), V(std::numeric_limits<float>::quiet_NaN()), v));
  return select((v > V(0)) & (v < V(infinity)), y, special);
}

template <int B>
FRAMEGRAD_INLINE Vec<float, B> tanh(const Vec<float, B>& x) {
  using V = Vec<float, B>;
  const V a = abs(x), t = x * x;
  const V small = fma(detail::polynomial(t, -3.333328392e-01f, 1.333149125e-01f, -5.374349526e-02f, 2.065057899e-02f, -5.717036547e-03f), t * x, x);
  const V large = V(1) - V(2) / (exp(a + a) + V(1));
  return copysign(select(a < V(0.625f), small, large), x);
}

template <int B>
FRAMEGRAD_INLINE Vec<float, B> erf(const Vec<float, B>& x) {
  using V = Vec<float, B>;
  const V a = abs(x), t = x * x;
  const V small = x * detail::polynomial(t, 1.128379167e+00f, -3.761263848e-01f, 1.128378275e-01f, -2.686544582e-02f, 5.221074879e-03f,
                                         -8.484711465e-04f, 1.127054460e-04f, -9.680136671e-06f);
  const V b = select(a > V(4), V(4), a);  // erfc(4) is below half an ulp of 1
  const V log_erfc = detail::polynomial(b, 1.880402250e-04f, -1.129578424e+00f, -6.332198931e-01f, -1.084185773e-01f, 2.520825672e-02f,
                                        -4.204561869e-03f, 4.413363762e-04f, -2.168684989e-05f);
  return select(a < V(1), small, copysign(V(1) - exp(log_erfc), x));
}

#if defined(__x86_64__) && !defined(__clang__)
/// Φ(x), the normal distribution's, and the slope of x·Φ(x), where they are to be had faster than by erf.
FRAMEGRAD_INLINE Vec<float, 64> normal_cdf(const Vec<float, 64>& x) { return detail::by_table(detail::kNormal, x); }
FRAMEGRAD_INLINE Vec<float, 64> gelu_slope(const Vec<float, 64>& x) { return detail::by_table(detail::kNormalSlope, x); }
#endif

template <int B>
FRAMEGRAD_INLINE Vec<float, B> sin(const Vec<float, B>& x) {
  if (!(max_across(abs(x)) <= detail::kTurnLimit)) [[unlikely]] return lane_by_lane(x, [](float v) { return std::sin(v); });
  return select(x == Vec<float, B>(0), x, detail::sin_shifted(x, 0));  // keeps the sign of a zero
}

template <int B>
FRAMEGRAD_INLINE Vec<float, B> cos(const Vec<float, B>& x) {
  if (!(max_across(abs(x)) <= detail::kTurnLimit)) [[unlikely]] return lane_by_lane(x, [](float v) { return std::cos(v); });
  return detail::sin_shifted(x, 1);
}

/// 1/(1 + e^−x)
template <class V>
FRAMEGRAD_INLINE V sigmoid(const V& x) { return V(1) / (V(1) + exp(-x)); }

/// The larger and the smaller of two scalars, under the name that vectors have them.
template <class A> requires std::is_arithmetic_v<A>
FRAMEGRAD_INLINE A max(A a, A b) { return a > b ? a : b; }
template <class A> requires std::is_arithmetic_v<A>
FRAMEGRAD_INLINE A min(A a, A b) { return a < b ? a : b; }
/// yes or no: the scalar twin of the vectors' select.
template <class A> requires std::is_arithmetic_v<A>
FRAMEGRAD_INLINE A select(bool m, A yes, A no) { return m ? yes : no; }

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
