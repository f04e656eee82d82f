// Launchers of gated_residual (cuda/gated_residual.cu).
#pragma once

#include <framegrad/cuda/walk.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// gate and its gradient: element (group, c) lies at group·group_stride + c·stride.
template <class T>
struct Gate {
  T* at = nullptr;
  Index group_stride = 0, stride = 1;
};

/// [groups, rows, C]. x, h and dh have unit strides along C; where their rows begin, a walk over all rows says, its operands in the order of
/// the arguments. y and g are row-major.
template <class T>
struct GatedResidualKernels {
  /// y = x + gate·h
  static void forward(const Walk<2>& where, Index groups, Index C, const T* x, Gate<const T> gate, const T* h, T* y);
  /// dh = gate·g, dgate = Σ g·h over a group's rows: each null if nobody wants it
  static void backward(const Walk<2>& where, Index groups, Index C, const T* g, Gate<const T> gate, const T* h, T* dh, Gate<T> dgate);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
