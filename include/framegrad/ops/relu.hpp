// relu — y = max(x, 0), dy/dx = [x > 0]
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/relu.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> relu(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Relu>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
