// gelu_tanh — y = ½x(1 + tanh u), u = √(2/π)(x + 0.044715x³): the form that transformers use (arXiv:1606.08415)
//
//   dy/dx = ½(1 + tanh u) + ½x(1 − tanh² u)·√(2/π)(1 + 3·0.044715x²)
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/gelu_tanh.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> gelu_tanh(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::GeluTanh>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
