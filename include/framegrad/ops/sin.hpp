// sin — dy/dx = cos x
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/sin.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> sin(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Sin>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
