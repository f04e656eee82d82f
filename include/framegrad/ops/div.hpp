// div — y = a / b, with broadcasting; ∂y/∂b = −a/b²
#pragma once

#include <framegrad/ops/formula/div.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// a [...], b [...] → their broadcast shape. Throws ShapeError if they don't broadcast.
template <class T, int Ra, int Rb>
Tensor<T, (Ra > Rb ? Ra : Rb)> div(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) {
  return apply<ops::Binary<T, formula::Div>>({}, {a, b});
}

template <class T, int Ra, int Rb>
auto operator/(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return div(a, b); }

}  // namespace fg::inline FRAMEGRAD_ABI
