// Launchers of the reductions (cuda/reduce.cuh).
#pragma once

#include <framegrad/cuda/walk.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// x seen as results × terms. `results`: strides of x and of y; `terms`: strides of x.
struct Reduction {
  Walk<2> results;
  Walk<1> terms;
};

template <class T>
struct ReduceKernels {
  /// y[result] = scale·Σ x over the terms, summed in f32
  static void sum(const Reduction& r, const T* x, T* y, float scale);
  /// mean[i] = Σ x / terms, dense in the results' order;  y[result] = scale·Σ (x − mean)²
  static void var(const Reduction& r, const T* x, float* mean, T* y, float scale);
  /// dx = scale·g,  or scale·g·(x − mean) where x isn't null: the walk is over dx in its order of memory, its operands are g, x, mean
  static void spread(const Walk<3>& w, T* dx, const T* g, const T* x, const float* mean, float scale);
};

/// x [rows, C] → the extreme of each row and where the first one is; a NaN counts as the extreme.
template <class T>
struct ExtremeKernels {
  static void value(Index rows, Index C, bool smallest, const T* x, T* y, std::int64_t* index);
  /// dx [rows, C] = g[row] at index[row], 0 elsewhere
  static void slope(Index rows, Index C, const T* g, const std::int64_t* index, T* dx);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
