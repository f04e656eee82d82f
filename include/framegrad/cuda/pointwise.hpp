// Launchers of the pointwise kernels (cuda/pointwise.cuh). F: a formula of ops/formula. y and d are dense, in the order of memory that the walk
// has; a walk's operands are the inputs in the order of the arguments.
#pragma once

#include <framegrad/cuda/walk.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// y [n] = f(x [n]);  dx [n] = g·f′(kept [n])
template <class T, class F>
struct UnaryKernels {
  static void value(Index n, T* y, const T* x, const F& f);
  static void slope(Index n, T* dx, const T* kept, const T* g, const F& f);
};

/// y = f(a, b);  d = g·∂f/∂a or g·∂f/∂b. For a linear f, a and b of the slopes are null.
template <class T, class F>
struct BinaryKernels {
  static void value(const Walk<2>& w, T* y, const T* a, const T* b);
  static void slope_a(const Walk<3>& w, T* d, const T* g, const T* a, const T* b);
  static void slope_b(const Walk<3>& w, T* d, const T* g, const T* a, const T* b);
};

/// y = whether F holds between a and b
template <class T, class F>
struct CompareKernels {
  static void value(const Walk<2>& w, bool* y, const T* a, const T* b);
};

/// y = condition ? a : b;  d = g where the condition is `chosen`, else 0
template <class T>
struct WhereKernels {
  static void value(const Walk<3>& w, T* y, const bool* condition, const T* a, const T* b);
  static void slope(const Walk<2>& w, bool chosen, T* d, const bool* condition, const T* g);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
