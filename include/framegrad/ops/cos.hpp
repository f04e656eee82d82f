// cos — dy/dx = −sin x
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/cos.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> cos(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Cos>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
