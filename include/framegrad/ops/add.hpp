// add — y = a + b, with broadcasting
#pragma once

#include <framegrad/ops/formula/add.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// a [...], b [...] → their broadcast shape. Throws ShapeError if they don't broadcast.
template <class T, int Ra, int Rb>
Tensor<T, (Ra > Rb ? Ra : Rb)> add(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) {
  return apply<ops::Binary<T, formula::Add>>({}, {a, b});
}

template <class T, int Ra, int Rb>
auto operator+(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return add(a, b); }

}  // namespace fg::inline FRAMEGRAD_ABI
