// tanh — dy/dx = 1 − y²
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/tanh.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> tanh(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Tanh>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
