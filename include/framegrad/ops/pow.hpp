// pow — y = xᵖ for a number p
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/pow.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...], p a number → xᵖ. NaN where x < 0 and p is not a whole number.
template <class T, int R>
Tensor<T, R> pow(const Tensor<T, R>& x, double p) {
  return apply<ops::Unary<T, formula::Pow>>({p}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
