// sigmoid — y = 1 / (1 + e⁻ˣ), dy/dx = y(1 − y)
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/sigmoid.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> sigmoid(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Sigmoid>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
