// abs — y = |x|, dy/dx = sign x, 0 at 0
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/abs.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> abs(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Abs>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
