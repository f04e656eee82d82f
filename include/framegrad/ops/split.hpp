// split — consecutive parts of an axis. They are views: nothing is copied in either direction.
#pragma once

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [..., n, ...] → parts [..., sizes[i], ...]. Throws ShapeError unless the sizes add up to n.
template <class T, int R>
std::vector<Tensor<T, R>> split(const Tensor<T, R>& x, int axis, const std::vector<Index>& sizes) {
  axis = checked_axis(axis, R, "split");
  std::vector<Tensor<T, R>> parts;
  Index at = 0;
  for (const Index n : sizes) {
    check_shape(n >= 0 && at + n <= x.size(axis), "split", "a part of ", n, " after ", at, " of axis ", axis, " of ", x.sizes());
    parts.emplace_back(x.AnyTensor::slice(axis, at, at + n));
    at += n;
  }
  check_shape(at == x.size(axis), "split", "the parts make ", at, ", axis ", axis, " of ", x.sizes(), " has more");
  return parts;
}

}  // namespace fg::inline FRAMEGRAD_ABI
