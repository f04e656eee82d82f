// mean over any axes: the sum divided by the number of terms.
#pragma once

#include <framegrad/ops/sum.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → the mean over the named axes, or over all: mean(x), mean<0, -1>(x), mean<keepdim, 1>(x).
template <auto... Axes, class T, int R> requires is_floating<T>
auto mean(const Tensor<T, R>& x) {
  using L = detail::AxisList<R, Axes...>;
  using A = accum_t<T>;
  return Tensor<T, L::rank>(apply<ops::Sum<T>>({.axes = L::axes, .scale = A(1) / A(detail::reduced_count(x, L::axes))}, {x}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
