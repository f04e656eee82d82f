// Walks for the launchers, from tensors' geometries. Host only.
#pragma once

#include <framegrad/cpu/pointwise.hpp>
#include <framegrad/cuda/walk.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {
static_assert(kMaxAxes == kMaxRank);

/// Over y (dense), in its order of memory, with operands' strides over y's sizes.
template <int N>
Walk<N> walk_of(const Geometry& y, const std::array<Strides, N>& operands) {
  const auto m = cpu::merge_axes<N + 1>(y, operands);
  Walk<N> w;
  for (int a = 0; a < m.sizes.rank(); ++a) {
    Index strides[N];
    for (int k = 0; k < N; ++k) strides[k] = m.strides[std::size_t(k) + 1][a];
    w.push(m.sizes[a], strides);
  }
  return w;
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
