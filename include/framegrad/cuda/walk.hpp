// What kernels that take any layout are told: sizes, and the strides of N operands, in elements. The host merges axes first, so that dense
// operands are one axis; a stride of 0 repeats an element.
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kMaxAxes = 8;

template <int N>
struct Walk {
  int rank = 0;
  Index count = 1;
  Index size[kMaxAxes] = {};
  Index stride[N][kMaxAxes] = {};

  void push(Index n, const Index (&strides)[N]) {
    size[rank] = n;
    for (int k = 0; k < N; ++k) stride[k][rank] = strides[k];
    ++rank;
    count *= n;
  }
  /// The same walk for its first operand alone.
  Walk<1> first() const {
    Walk<1> w;
    for (int a = 0; a < rank; ++a) {
      const Index only[1] = {stride[0][a]};
      w.push(size[a], only);
    }
    return w;
  }
  /// Every operand is one run of neighbours.
  bool unit() const {
    if (rank > 1) return false;
    for (int k = 0; k < N; ++k)
      if (rank == 1 && stride[k][0] != 1) return false;
    return true;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
