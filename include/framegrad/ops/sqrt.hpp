// sqrt — y = √x, dy/dx = 1 / (2y)
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/sqrt.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> sqrt(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Sqrt>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
