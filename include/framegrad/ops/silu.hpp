// silu — y = x·σ(x), dy/dx = σ(1 + x(1 − σ)); also called swish (arXiv:1710.05941)
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/silu.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> silu(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Silu>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
