// gelu_tanh — y = ½x(1 + tanh u) = x·σ(2u), u = √(2/π)(x + 0.044715x³): the form that transformers use (arXiv:1606.08415)
//
//   dy/dx = s + x·s(1 − s)·2√(2/π)(1 + 3·0.044715x²), s = σ(2u)
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct GeluTanh {
  static constexpr std::string_view name = "gelu_tanh";
  static constexpr double kScale = 1.59576912160573071;  // 2√(2/π)
  static constexpr double kCubic = 0.044715;
  template <class V>
  FRAMEGRAD_INLINE static V sigmoid_of_2u(const V& x) {
    using std::exp;
    using A = typename V::Scalar;
    return V(1) / (V(1) + exp(-x * (V(A(kScale)) + V(A(kScale * kCubic)) * x * x)));
  }
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    return x * sigmoid_of_2u(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    using A = typename V::Scalar;
    const V s = sigmoid_of_2u(x);
    return s * (V(1) + x * (V(1) - s) * (V(A(kScale)) + V(A(3 * kScale * kCubic)) * x * x));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
