// affine — y = a·x + b for numbers a and b, and the operators between tensors and numbers
#pragma once

#include <framegrad/ops/formula/affine.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → a·x + b
template <class T, int R>
Tensor<T, R> affine(const Tensor<T, R>& x, double a, double b) {
  return apply<ops::Unary<T, formula::Affine>>({a, b}, {x});
}

template <class T, int R> Tensor<T, R> operator*(const Tensor<T, R>& x, double a) { return affine(x, a, 0); }
template <class T, int R> Tensor<T, R> operator*(double a, const Tensor<T, R>& x) { return affine(x, a, 0); }
template <class T, int R> Tensor<T, R> operator/(const Tensor<T, R>& x, double a) { return affine(x, 1 / a, 0); }
template <class T, int R> Tensor<T, R> operator+(const Tensor<T, R>& x, double b) { return affine(x, 1, b); }
template <class T, int R> Tensor<T, R> operator+(double b, const Tensor<T, R>& x) { return affine(x, 1, b); }
template <class T, int R> Tensor<T, R> operator-(const Tensor<T, R>& x, double b) { return affine(x, 1, -b); }
template <class T, int R> Tensor<T, R> operator-(double b, const Tensor<T, R>& x) { return affine(x, -1, b); }
template <class T, int R> Tensor<T, R> operator-(const Tensor<T, R>& x) { return affine(x, -1, 0); }

}  // namespace fg::inline FRAMEGRAD_ABI
