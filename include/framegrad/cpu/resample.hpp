// Linear resampling along three axes of channels-last rows: upsampling, interpolation and average pooling, both ways.
//
//   y[n,d,h,w,:] = Σ_{i,j,k} wd[d,i]·wh[h,j]·ww[w,k] · x[n,i,j,k,:]
//
// Each axis is a sparse matrix of a few numbers a row; the gradient is the same with the matrices transposed, so every sum
// is gathered in a fixed order. Bound by memory.
#pragma once

#include <algorithm>
#include <vector>

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// For each target index of an axis the source indices it takes, with weights: rows of a sparse matrix, one after the other.
struct AxisTaps {
  Index sources = 1;
  std::vector<Index> begin{0}, index;  // target t takes index[begin[t] … begin[t + 1])
  std::vector<double> weight;

  Index targets() const { return Index(begin.size()) - 1; }
  /// Taps of one more target: add() each, then end_target().
  void add(Index source, double w) { index.push_back(source), weight.push_back(w); }
  void end_target() { begin.push_back(Index(index.size())); }

  /// Whether each target is one source.
  bool repeats() const {
    return index.size() + 1 == begin.size() && std::all_of(weight.begin(), weight.end(), [](double w) { return w == 1; }) &&
           std::adjacent_find(begin.begin(), begin.end()) == begin.end();
  }

  AxisTaps transposed() const {
    AxisTaps t;
    t.sources = targets();
    t.begin.assign(std::size_t(sources) + 1, 0);
    for (const Index s : index) ++t.begin[std::size_t(s) + 1];
    for (std::size_t s = 0; s < std::size_t(sources); ++s) t.begin[s + 1] += t.begin[s];
    t.index.resize(index.size()), t.weight.resize(index.size());
    std::vector<Index> next = t.begin;
    for (Index target = 0; target < targets(); ++target)
      for (Index e = begin[std::size_t(target)]; e < begin[std::size_t(target) + 1]; ++e) {
        const Index to = next[std::size_t(index[std::size_t(e)])]++;
        t.index[std::size_t(to)] = target, t.weight[std::size_t(to)] = weight[std::size_t(e)];
      }
    return t;
  }
};

/// One line of targets along the width, from `count` weighted lines of sources.
struct ResampleLine {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(const T* const* line, const A* line_weight, Index count, Index width, const Index* begin, const Index* index,
                                   const A* weight, Index C, T* y) {
    using V = Vec<A, B>;
    for (Index w = 0; w < width; ++w, y += C) {
      const Index first = begin[w], last = begin[w + 1];
      each<V>(C, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        V sum(A(0));
        for (Index i = 0; i < count; ++i)
          for (Index e = first; e < last; ++e) sum = fma(l.load(line[i] + index[e] * C), V(line_weight[i] * weight[e]), sum);
        l.store(y, sum);
      });
    }
  }
};

/// x [images, sources of each axis, C] → y [images, targets of each axis, C].
template <class T>
void resample(const T* x, T* y, Index images, Index C, const std::array<AxisTaps, 3>& axes) {
  using A = accum_t<T>;
  const AxisTaps &D = axes[0], &H = axes[1], &W = axes[2];
  const std::vector<A> weight(W.weight.begin(), W.weight.end());
  const bool repeats = D.repeats() && H.repeats() && W.repeats();
  const Index lines = images * D.targets() * H.targets(), line_size = W.targets() * C;
  const double taps = double(D.index.size()) * double(H.index.size()) / double(std::max<Index>(1, D.targets() * H.targets()));
  parallel_for(lines, 0.3 * double(W.index.size() * std::size_t(C)) * taps + 20, [&](Range r) {
    std::vector<const T*> from;
    std::vector<A> from_weight;
    for (Index i = r.begin; i < r.end; ++i) {
      const auto h = std::size_t(i % H.targets()), d = std::size_t(i / H.targets() % D.targets());
      const Index n = i / (H.targets() * D.targets());
      from.clear(), from_weight.clear();
      for (Index a = D.begin[d]; a < D.begin[d + 1]; ++a)
        for (Index b = H.begin[h]; b < H.begin[h + 1]; ++b) {
          from.push_back(x + ((n * D.sources + D.index[std::size_t(a)]) * H.sources + H.index[std::size_t(b)]) * W.sources * C);
          if (!repeats) from_weight.push_back(A(D.weight[std::size_t(a)] * H.weight[std::size_t(b)]));
        }
      if (repeats) {  // a line of cells as they are: no conversion, no product
        for (Index w = 0; w < W.targets(); ++w) std::copy_n(from.front() + W.index[std::size_t(w)] * C, C, y + i * line_size + w * C);
        continue;
      }
      dispatch<ResampleLine>(static_cast<const T* const*>(from.data()), static_cast<const A*>(from_weight.data()), Index(from.size()), W.targets(), W.begin.data(), W.index.data(),
                             weight.data(), C, y + i * line_size);
    }
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
