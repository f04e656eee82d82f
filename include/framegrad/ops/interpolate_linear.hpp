// interpolate_linear — linear, bilinear or trilinear resampling to any size; cells are areas (align_corners is false).
//
//   s = max(0, (i + ½)·sources/targets − ½)     y[i] = (1 − λ)·x[⌊s⌋] + λ·x[⌊s⌋ + 1],  λ = s − ⌊s⌋,  the last cell repeats
//
// along each axis. Shrinking does not smooth: where that matters, pool first. Gradient: the transposed sum.
#pragma once

#include <framegrad/ops/resample.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

struct LinearRule {
  static constexpr std::string_view name = "interpolate_linear";
  std::array<Index, 3> target{1, 1, 1};

  Shape sizes(const AnyTensor& x) const {
    Shape s = x.sizes();
    for (int a = 2; a < x.rank(); ++a) {
      const Index n = target[std::size_t(a + 3 - x.rank())];
      check_shape(n >= 1 && s[a] >= 1, name, "axis ", a, " of ", x.sizes(), " to size ", n, ": both must be at least 1");
      s[a] = n;
    }
    return s;
  }
  cpu::AxisTaps taps(int, Index sources, Index targets) const {
    cpu::AxisTaps t;
    t.sources = sources;
    for (Index i = 0; i < targets; ++i) {
      const double s = std::max(0.0, (double(i) + 0.5) * double(sources) / double(targets) - 0.5);
      const Index low = std::min(Index(s), sources - 1);
      const double part = low + 1 < sources ? s - double(low) : 0;
      t.add(low, 1 - part);
      if (part > 0) t.add(low + 1, part);
      t.end_target();
    }
    return t;
  }
  cuda::LinearAxis on_gpu(int, Index sources, Index targets) const { return {int(sources), int(targets)}; }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [N, C, …] → [N, C, size…]. Throws ShapeError if a size is less than 1.
template <class T, int R>
Tensor<T, R> interpolate_linear(const Tensor<T, R>& x, const std::array<Index, std::size_t(R - 2)>& size) {
  static_assert(R >= 3 && R <= 5, "x is [N, C, (D), (H), W]");
  ops::LinearRule rule;
  std::copy(size.begin(), size.end(), rule.target.begin() + 5 - R);
  return apply<ops::Resample<T, ops::LinearRule>>(rule, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
