// clamp — y = min(max(x, low), high)
#pragma once

#include <framegrad/ops/formula/clamp.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...], every element brought into [low, high]. Throws ShapeError if low > high.
template <class T, int R>
Tensor<T, R> clamp(const Tensor<T, R>& x, double low, double high) {
  check_shape(low <= high, "clamp", "low is ", low, ", high ", high);
  return apply<ops::Unary<T, formula::Clamp>>({low, high}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
