// exp — y = eˣ, dy/dx = y
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/exp.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> exp(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Exp>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
