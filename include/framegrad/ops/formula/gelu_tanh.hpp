// gelu_tanh — y = ½x(1 + tanh u), u = √(2/π)(x + 0.044715x³): the form that transformers use (arXiv:1606.08415)
//
//   dy/dx = ½(1 + tanh u) + ½x(1 − tanh² u)·√(2/π)(1 + 3·0.044715x²)
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct GeluTanh {
  static constexpr std::string_view name = "gelu_tanh";
  static constexpr double kScale = 0.79788456080286535588;  // √(2/π)
  static constexpr double kCubic = 0.044715;
  template <class V>
  FRAMEGRAD_INLINE static V tanh_of_u(const V& x) {
    using std::tanh;
    using A = typename V::Scalar;
    return tanh(V(A(kScale)) * (x + V(A(kCubic)) * x * x * x));
  }
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    return V(0.5f) * x * (V(1) + tanh_of_u(x));
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    using A = typename V::Scalar;
    const V t = tanh_of_u(x);
    return V(0.5f) * (V(1) + t) + V(0.5f) * x * (V(1) - t * t) * V(A(kScale)) * (V(1) + V(A(3 * kCubic)) * x * x);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
