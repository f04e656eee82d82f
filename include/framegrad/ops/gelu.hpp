// gelu — y = x·Φ(x), Φ the normal distribution by erf (Hendrycks and Gimpel, arXiv:1606.08415)
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/gelu.hpp>
#include <framegrad/ops/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...]
template <class T, int R>
Tensor<T, R> gelu(const Tensor<T, R>& x) {
  return apply<ops::Unary<T, formula::Gelu>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
