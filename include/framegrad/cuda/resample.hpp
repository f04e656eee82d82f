// Launchers of linear resampling and pooling, and the axes that they are told: which sources a target takes, which targets take a source, and with
// what weight, as formulas of the indices. A range is [first, end).
#pragma once

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Windows of `kernel` sources.
struct PoolAxis {
  int sources, targets, kernel, stride, before;  // before: cells of padding

  FRAMEGRAD_INLINE int first_source(int t) const { return t * stride > before ? t * stride - before : 0; }
  FRAMEGRAD_INLINE int end_source(int t) const {
    const int end = t * stride - before + kernel;
    return end < sources ? end : sources;
  }
  FRAMEGRAD_INLINE int first_target(int s) const { return s + before < kernel ? 0 : (s + before - kernel) / stride + 1; }
  FRAMEGRAD_INLINE int end_target(int s) const {
    const int end = (s + before) / stride + 1;
    return end < targets ? end : targets;
  }
  /// Which cell of target t's window s is.
  FRAMEGRAD_INLINE int cell(int t, int s) const { return s - t * stride + before; }
  FRAMEGRAD_INLINE float weight(int, int) const { return 1.0f / float(kernel); }
};

/// Each source `factor` times.
struct NearestAxis {
  int sources, targets, factor;

  FRAMEGRAD_INLINE int first_source(int t) const { return t / factor; }
  FRAMEGRAD_INLINE int end_source(int t) const { return t / factor + 1; }
  FRAMEGRAD_INLINE int first_target(int s) const { return s * factor; }
  FRAMEGRAD_INLINE int end_target(int s) const { return (s + 1) * factor; }
  FRAMEGRAD_INLINE float weight(int, int) const { return 1.0f; }
};

/// Two sources about (t + ½)·sources/targets − ½, in whole numbers of 1/(2·targets).
struct LinearAxis {
  int sources, targets;

  FRAMEGRAD_INLINE Index place(int t) const {
    const Index p = (2 * Index(t) + 1) * sources - targets;
    return p > 0 ? p : 0;
  }
  FRAMEGRAD_INLINE int first_source(int t) const { return int(place(t) / (2 * Index(targets))); }
  FRAMEGRAD_INLINE int end_source(int t) const {
    const int low = first_source(t);
    return low + 2 < sources ? low + 2 : sources;
  }
  /// The first target whose place is not below source s.
  FRAMEGRAD_INLINE int not_below(int s) const {
    if (s <= 0) return 0;
    const Index reach = 2 * Index(s) * targets + targets - sources;  // (2t + 1)·sources − targets ≥ 2s·targets, and it is positive: s ≥ 1
    const Index t = reach > 0 ? (reach + 2 * Index(sources) - 1) / (2 * Index(sources)) : 0;
    return t < targets ? int(t) : targets;
  }
  FRAMEGRAD_INLINE int first_target(int s) const { return not_below(s - 1); }
  FRAMEGRAD_INLINE int end_target(int s) const { return s + 1 < sources ? not_below(s + 1) : targets; }
  FRAMEGRAD_INLINE float weight(int t, int s) const {
    const Index p = place(t), low = p / (2 * Index(targets));
    const float part = low + 1 < sources ? float(p - low * 2 * targets) / float(2 * targets) : 0.0f;
    return s == low ? 1.0f - part : s == low + 1 ? part : 0.0f;
  }
};

/// x [images, sources…, C] → y [images, targets…, C]
template <class T, class Axis>
struct ResampleKernels {
  static void value(Index images, Index C, const Axis& d, const Axis& h, const Axis& w, const T* x, T* y);
  static void slope(Index images, Index C, const Axis& d, const Axis& h, const Axis& w, const T* g, T* dx);
};

/// The largest cell of each window, and its number in the window; winner may be null.
template <class T>
struct MaxPoolKernels {
  static void value(Index images, Index C, const PoolAxis& d, const PoolAxis& h, const PoolAxis& w, const T* x, T* y, std::int32_t* winner);
  static void slope(Index images, Index C, const PoolAxis& d, const PoolAxis& h, const PoolAxis& w, const T* g, const std::int32_t* winner, T* dx);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
