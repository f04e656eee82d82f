// Views with types: parts and orders of a tensor that share its memory. None costs anything in either direction.
#pragma once

#include <framegrad/ops/contiguous.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Two axes exchanged.
template <class T, int R>
Tensor<T, R> transpose(const Tensor<T, R>& x, int a, int b) { return Tensor<T, R>(x.AnyTensor::transpose(a, b)); }

/// Elements begin, begin + step, … below end of an axis. Throws ShapeError.
template <class T, int R>
Tensor<T, R> slice(const Tensor<T, R>& x, int axis, Index begin, Index end, Index step = 1) { return Tensor<T, R>(x.AnyTensor::slice(axis, begin, end, step)); }

/// Index i of an axis, which goes. Throws ShapeError.
template <class T, int R>
Tensor<T, R - 1> select(const Tensor<T, R>& x, int axis, Index i) { return Tensor<T, R - 1>(x.AnyTensor::select(axis, i)); }

/// A new axis of size 1.
template <class T, int R>
Tensor<T, R + 1> unsqueeze(const Tensor<T, R>& x, int axis) { return Tensor<T, R + 1>(x.AnyTensor::unsqueeze(axis)); }

/// An axis of size 1 goes. Throws ShapeError.
template <class T, int R>
Tensor<T, R - 1> squeeze(const Tensor<T, R>& x, int axis) { return Tensor<T, R - 1>(x.AnyTensor::squeeze(axis)); }

/// The N parts of the first axis, which must have size N. Throws ShapeError.
template <int N, class T, int R>
std::array<Tensor<T, R - 1>, std::size_t(N)> unbind(const Tensor<T, R>& x) {
  check_shape(x.size(0) == N, "unbind", "x is ", x.sizes(), ", a first axis of ", N, " is needed");
  std::array<Tensor<T, R - 1>, std::size_t(N)> parts;
  for (int i = 0; i < N; ++i) parts[std::size_t(i)] = select(x, 0, i);
  return parts;
}

/// N equal parts along an axis. Throws ShapeError if its size is no multiple of N.
template <int N, class T, int R>
std::array<Tensor<T, R>, std::size_t(N)> chunk(const Tensor<T, R>& x, int axis) {
  const Index n = x.size(axis) / N;
  check_shape(n * N == x.size(axis), "chunk", "axis ", axis, " of ", x.sizes(), " doesn't part in ", N);
  std::array<Tensor<T, R>, std::size_t(N)> parts;
  for (int i = 0; i < N; ++i) parts[std::size_t(i)] = slice(x, axis, i * n, (i + 1) * n);
  return parts;
}

/// Other sizes over the same elements in row-major order; one size may be −1. A view where x's layout allows, else a copy.
template <int S, class T, int R>
Tensor<T, S> reshape(const Tensor<T, R>& x, const Index (&sizes)[S]) {
  Shape to{std::span<const Index>(sizes)};
  Index known = 1;
  int unknown = -1;
  for (int i = 0; i < S; ++i) {
    if (to[i] == -1) check_shape(unknown < 0, "reshape", "two sizes are left open"), unknown = i;
    else known *= to[i];
  }
  if (unknown >= 0) to[unknown] = known ? x.count() / known : 0;
  check_shape(to.count() == x.count(), "reshape", x.sizes(), " has ", x.count(), " elements, ", to, " asks for ", to.count());
  const AnyTensor dense = detail::contiguous_any(x);
  return Tensor<T, S>(dense.viewed({to, row_major(to), dense.geometry().offset}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
