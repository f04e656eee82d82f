// gelu — y = x·Φ(x), Φ the normal distribution by erf (Hendrycks and Gimpel, arXiv:1606.08415)
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Gelu {
  static constexpr std::string_view name = "gelu";
  static constexpr double kSqrtHalf = 0.70710678118654752440;  // √½
  static constexpr double kDensity = 0.39894228040143267794;   // 1/√(2π)
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::erf;
    if constexpr (requires { normal_cdf(x); }) return x * normal_cdf(x);
    else return V(0.5f) * x * (V(1) + erf(x * V(typename V::Scalar(kSqrtHalf))));
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    using std::erf, std::exp;
    if constexpr (requires { gelu_slope(x); }) return gelu_slope(x);
    else return V(0.5f) * (V(1) + erf(x * V(typename V::Scalar(kSqrtHalf)))) + x * V(typename V::Scalar(kDensity)) * exp(V(-0.5f) * x * x);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
