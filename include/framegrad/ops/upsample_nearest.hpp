// upsample_nearest — every cell becomes a block of equal cells.
//
//   y[n, c, i] = x[n, c, ⌊i / factor⌋]      along each axis
//
// Gradient: dx[n, c, j] = Σ dy over j's block.
#pragma once

#include <framegrad/ops/resample.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

struct NearestRule {
  static constexpr std::string_view name = "upsample_nearest";
  std::array<Index, 3> factor{1, 1, 1};

  Shape sizes(const AnyTensor& x) const {
    Shape s = x.sizes();
    for (int a = 2; a < x.rank(); ++a) {
      const Index f = factor[std::size_t(a + 3 - x.rank())];
      check_shape(f >= 1, name, "factor ", f, ", at least 1 is needed");
      s[a] *= f;
    }
    return s;
  }
  cpu::AxisTaps taps(int axis, Index sources, Index targets) const {
    cpu::AxisTaps t;
    t.sources = sources;
    for (Index i = 0; i < targets; ++i) t.add(i / factor[std::size_t(axis)], 1), t.end_target();
    return t;
  }
  cuda::NearestAxis on_gpu(int axis, Index sources, Index targets) const { return {int(sources), int(targets), int(factor[std::size_t(axis)])}; }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [N, C, …] → each of the axes after C `factor` times as long. Throws ShapeError if a factor is less than 1.
template <class T, int R>
Tensor<T, R> upsample_nearest(const Tensor<T, R>& x, const PerAxis<Index, R - 2>& factor) {
  static_assert(R >= 3 && R <= 5, "x is [N, C, (D), (H), W]");
  ops::NearestRule rule;
  std::copy(factor.begin(), factor.end(), rule.factor.begin() + 5 - R);
  return apply<ops::Resample<T, ops::NearestRule>>(rule, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
