// maximum — y = max(a, b), with broadcasting; the gradient is halved between equals
#pragma once

#include <framegrad/ops/formula/maximum.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// a [...], b [...] → their broadcast shape. Throws ShapeError if they don't broadcast.
template <class T, int Ra, int Rb>
Tensor<T, (Ra > Rb ? Ra : Rb)> maximum(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) {
  return apply<ops::Binary<T, formula::Maximum>>({}, {a, b});
}

}  // namespace fg::inline FRAMEGRAD_ABI
