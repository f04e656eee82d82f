// The probability of an 8-bit value's bin under a Gaussian: the formulas and letters of ops/discretised_gaussian.hpp.
#pragma once

#include <cmath>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

template <class V>
struct GaussianBin {
  using A = typename V::Scalar;
  V a, upper, lower, above, below, probability;  // above and below are 0 where a side is open
  static constexpr A kRoot = A(0.79788456080286535588), kCubic = A(0.044715), kSmallest = A(1e-12);

  FRAMEGRAD_INLINE GaussianBin(const V& x, const V& mean, const V& log_var)
      : a(exp_of(log_var * V(A(-0.5)))), upper(a * (x - mean + V(A(1) / 255))), lower(a * (x - mean - V(A(1) / 255))), above(0), below(0), probability(0) {
    const auto first = x < V(A(-0.999)), last = x > V(A(0.999));
    const auto right = (x > mean) & !first;
    above = select(last, V(0), V(1)), below = select(first, V(0), V(1));
    // Φ(u) = 1 − Φ(−u): on the right of the mean both are taken at −u, where they are small and differ precisely.
    const V p = cdf(select(right | last, -lower, upper)), q = cdf(select(right, -upper, lower));
    probability = select(first | last, p, p - q);
  }

  FRAMEGRAD_INLINE V value() const {
    using std::log;
    return log(max(probability, V(kSmallest)));
  }
  /// ∂y/∂x and ∂y/∂l, times g
  FRAMEGRAD_INLINE void slopes(const V& g, V& by_x, V& by_log_var) const {
    const V p = density(upper) * above, q = density(lower) * below;
    const V scale = select(probability > V(kSmallest), g / probability, V(0));
    by_x = scale * a * (p - q);
    by_log_var = V(A(-0.5)) * scale * (p * upper - q * lower);
  }

 private:
  FRAMEGRAD_INLINE static V exp_of(const V& x) {
    using std::exp;
    return exp(x);
  }
  FRAMEGRAD_INLINE static V steep(const V& u) { return V(2 * kRoot) * (u + V(kCubic) * u * u * u); }
  FRAMEGRAD_INLINE static V cdf(const V& u) { return V(1) / (V(1) + exp_of(-steep(u))); }  // ½(1 + tanh z) = 1/(1 + e^(−2z))
  FRAMEGRAD_INLINE static V density(const V& u) { return cdf(u) * cdf(-u) * V(2 * kRoot) * (V(1) + V(3 * kCubic) * u * u); }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
