// What ops that slide a window over axes share: numbers per axis, padding by side, and the size that comes out.
#pragma once

#include <concepts>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// S values, one an axis; a single one stands for all axes: `.stride = 2`, `.stride = {1, 2, 2}`.
template <class V, int S>
struct PerAxis : std::array<V, std::size_t(S)> {
  template <class... Values>
    requires((sizeof...(Values) == 1 || sizeof...(Values) == std::size_t(S)) && (std::convertible_to<Values, V> && ...))
  PerAxis(Values... values) {
    if constexpr (sizeof...(Values) == 1) this->fill((V(values), ...));
    else static_cast<std::array<V, std::size_t(S)>&>(*this) = {V(values)...};
  }
};

/// Cells added before and after an axis; one number stands for both. Sides{2, 0} is causal for a kernel of 3.
struct Sides {
  Index before = 0, after = 0;
  Sides() = default;
  Sides(Index both) : before(both), after(both) {}
  Sides(Index before_, Index after_) : before(before_), after(after_) {}
};

/// One axis of a sliding window.
struct WindowAxis {
  Index kernel = 1, stride = 1, dilation = 1;
  Sides padding = 0;

  /// Positions of the window over `size` cells; 0 or less if it does not fit.
  Index positions(Index size) const {
    const Index free = size + padding.before + padding.after - dilation * (kernel - 1) - 1;
    return free < 0 ? 0 : free / stride + 1;
  }
};

/// Three axes, depth, height, width; an op over fewer uses the last ones and leaves windows of 1 before.
using Window = std::array<WindowAxis, 3>;

/// Depth, height and width of [N, C, …], 1 where there is none.
inline std::array<Index, 3> volume_of(const AnyTensor& x) {
  std::array<Index, 3> v{1, 1, 1};
  for (int a = 2; a < x.rank(); ++a) v[std::size_t(a + 3 - x.rank())] = x.size(a);
  return v;
}

/// Sizes of x's windows' positions, with `channels`; throws ShapeError if a window is malformed or does not fit.
inline Shape windowed(const AnyTensor& x, Index channels, const Window& window, std::string_view name) {
  Shape out{x.size(0), channels};
  const auto volume = volume_of(x);
  for (int a = 5 - x.rank(); a < 3; ++a) {
    const WindowAxis& w = window[std::size_t(a)];
    check_shape(w.kernel >= 1 && w.stride >= 1 && w.dilation >= 1 && w.padding.before >= 0 && w.padding.after >= 0, name, "kernel ", w.kernel,
                ", stride ", w.stride, ", dilation ", w.dilation, ", padding ", w.padding.before, " and ", w.padding.after,
                ": the first three must be positive, padding at least 0");
    const Index n = w.positions(volume[std::size_t(a)]);
    check_shape(n >= 1, name, "a window of ", w.dilation * (w.kernel - 1) + 1, " does not fit into ", volume[std::size_t(a)], " with padding ",
                w.padding.before, " and ", w.padding.after, "; x is ", x.sizes());
    out.push_back(n);
  }
  return out;
}

}  // namespace fg::inline FRAMEGRAD_ABI
