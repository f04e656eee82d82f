// rsqrt — y = 1/√x, dy/dx = −y³/2
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/rsqrt.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> rsqrt(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Rsqrt>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
