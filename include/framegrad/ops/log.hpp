// log — y = ln x, dy/dx = 1/x
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/log.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> log(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Log>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
