// avg_pool — the mean of a sliding window; padding counts as zeros, so every window is divided by the same number.
//
//   y[p] = 1/∏kernel · Σ_k x[stride·p + k − padding]
//
// Gradient: dx[i] = 1/∏kernel · Σ dy[p] over the windows that i is in.
#pragma once

#include <framegrad/ops/resample.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

struct MeanRule {
  static constexpr std::string_view name = "avg_pool";
  Window window;

  Shape sizes(const AnyTensor& x) const { return windowed(x, x.size(1), window, name); }
  cpu::AxisTaps taps(int axis, Index sources, Index targets) const {
    const WindowAxis& w = window[std::size_t(axis)];
    cpu::AxisTaps t;
    t.sources = sources;
    for (Index p = 0; p < targets; ++p) {
      for (Index k = 0; k < w.kernel; ++k) {
        const Index at = p * w.stride + k - w.padding.before;
        if (at >= 0 && at < sources) t.add(at, 1.0 / double(w.kernel));
      }
      t.end_target();
    }
    return t;
  }
  cuda::PoolAxis on_gpu(int axis, Index sources, Index targets) const { return cuda_axis(window[std::size_t(axis)], sources, targets); }
  static cuda::PoolAxis cuda_axis(const WindowAxis& w, Index sources, Index targets) {
    return {int(sources), int(targets), int(w.kernel), int(w.stride), int(w.padding.before)};
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// Each a number for all axes or one an axis. Without a stride the windows lie side by side.
template <int S>
struct PoolOptions {
  std::optional<PerAxis<Index, S>> stride = std::nullopt;
  PerAxis<Sides, S> padding = 0;
};

namespace detail {
template <int S>
Window pool_window(const PerAxis<Index, S>& kernel, const PoolOptions<S>& o) {
  Window w;
  for (std::size_t i = 0; i < std::size_t(S); ++i)
    w[i + 3 - std::size_t(S)] = {kernel[i], o.stride ? (*o.stride)[i] : kernel[i], 1, o.padding[i]};
  return w;
}
}  // namespace detail

/// x [N, C, …] → [N, C, windows…]. Throws ShapeError if a window does not fit.
template <class T, int R>
Tensor<T, R> avg_pool(const Tensor<T, R>& x, const PerAxis<Index, R - 2>& kernel, const PoolOptions<R - 2>& options = {}) {
  static_assert(R >= 3 && R <= 5, "x is [N, C, (D), (H), W]");
  return apply<ops::Resample<T, ops::MeanRule>>({detail::pool_window<R - 2>(kernel, options)}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
