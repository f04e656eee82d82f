// Reductions for the launchers, from tensors' geometries. Host only.
#pragma once

#include <framegrad/cuda/reduce.hpp>
#include <framegrad/cuda/walk_of.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// x (dense) summed over the axes where y_strides, over x's sizes, is 0. Results and terms in x's order of memory.
inline Reduction reduction_of(const Geometry& x, const Strides& y_strides) {
  Reduction r;
  const auto order = x.order();
  const auto last_of = [](auto& w, int k) { return w.stride[k][w.rank - 1]; };
  for (int i = 0; i < x.rank(); ++i) {
    const int a = order[std::size_t(i)];
    const Index n = x.sizes[a], sx = x.strides[a], sy = y_strides[a];
    if (n == 1) continue;
    if (sy == 0) {
      if (r.terms.rank > 0 && last_of(r.terms, 0) == sx * n) {
        r.terms.size[r.terms.rank - 1] *= n, r.terms.stride[0][r.terms.rank - 1] = sx, r.terms.count *= n;
      } else {
        r.terms.push(n, {sx});
      }
    } else if (r.results.rank > 0 && last_of(r.results, 0) == sx * n && last_of(r.results, 1) == sy * n) {
      const int last = r.results.rank - 1;
      r.results.size[last] *= n, r.results.stride[0][last] = sx, r.results.stride[1][last] = sy, r.results.count *= n;
    } else {
      r.results.push(n, {sx, sy});
    }
  }
  return r;
}

/// d ← Σ of src over the axes that d was broadcast along; d's strides over src's sizes.
template <class T>
void sum_to(const T* src, const Geometry& src_geometry, T* d, const Strides& d_strides) {
  ReduceKernels<T>::sum(reduction_of(src_geometry, d_strides), src, d, 1.0f);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
