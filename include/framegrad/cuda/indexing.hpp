// Launchers of picking and adding by index (cuda/indexing.cu), over [outer, n, inner]. An index that is not in [0, n) is not looked up: what it
// picks is NaN, and what it would add to nothing is left out, since an op doesn't wait for the device to tell.
#pragma once

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct IndexKernels {
  /// y [outer, count, inner] ← x [outer, index[i], inner]
  static void pick_rows(const T* x, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner);
  /// y [outer, n, inner] ← Σ dy [outer, i, inner] over the i with index[i] = the row, in their order
  static void add_rows(const T* dy, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner);
  /// y [outer, count, inner] ← x [outer, index(outer, i, inner), inner]
  static void pick_elements(const T* x, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner);
  /// y [outer, n, inner] ← base + src [outer, count, inner] at index(outer, i, inner), in the order of i; base may be null
  static void add_elements(const T* base, const T* src, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner);
};

/// Sorts pairs by key, stably; keys in [0, bound).
void sort_pairs(std::int64_t* keys, std::int64_t* values, Index count, Index bound);

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
