// Convolution to a few outputs, as a decoder's last one to three colours, whose sums would leave most of a vector empty.
//
//   t[cell][(tap, o)] = Σ_c source[cell][c] · W[c][(tap, o)]       one product of matrices, its columns the outputs of all taps
//   target[p][o] = Σ_taps t[p ∘ tap][(tap, o)]
//
// Bands of lines are worked on from source to target, so that t stays in the second-level cache; what two bands share is computed twice.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/conv_lattice.hpp>
#include <framegrad/cpu/conv_tile.hpp>
#include <framegrad/cpu/gemm.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

inline constexpr Index kFewOutputs = 4;  // in a vector of 16 bytes
inline constexpr Index kBandBytes = Index(1) << 20;  // of t, about

/// A tap of a line's first target: where it stands in t, and the cell of its line that it reads.
struct FewTap { Index at, cell; };

/// One line of targets; their few numbers fill the narrowest vector.
struct FewLine {
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(const float* t, const FewTap* tap, Index taps, Index columns, Index cells, Index count, Index outputs, const ConvEpilogue<float, T>& epilogue,
                                   T* y, Index row, Index pitch) {
    using V = Vec<float, 16>;
    static_assert(V::lanes == kFewOutputs);
    const Lanes<V> l{0, int(outputs)};
    ConvEpilogue<float, T> rest = epilogue;  // the bias is where the sums begin: a part of a vector is slow to load
    rest.bias = nullptr;
    const V bias = epilogue.bias ? l.load(epilogue.bias) : V(0.0f);
    for (Index v = 0; v < count; ++v, row += pitch) {
      V sum = bias;
      for (Index i = 0; i < taps; ++i)
        if (std::size_t(v + tap[i].cell) < std::size_t(cells)) sum += load_all<V>(t + tap[i].at + v * columns);
      l.store(y + row, rest.of(l, sum, 0, row));
    }
  }
};

/// Whether to; planes by themselves, cell by cell.
inline bool few_fits(const ConvGrid& grid, Index depth, Index outputs) {
  return outputs <= kFewOutputs && depth >= 16 && grid.axis[0].tap.size() == 1 && grid.taps() > 1 && grid.axis[1].source_step == 1 && grid.axis[2].source_step == 1;
}

/// target rows ← epilogue(Σ taps), for one group.
template <class T>
void convolve_to_few(const ConvGrid& grid, const T* source, Index source_pitch, const ConvMatrix<const T>& matrix, const ConvEpilogue<float, T>& epilogue, T* target,
                     Index target_pitch) {
  const ConvAxis &D = grid.axis[0], &H = grid.axis[1], &W = grid.axis[2];
  const Index taps = grid.taps(), across = Index(W.tap.size()), columns = taps * matrix.outputs, C = matrix.depth;
  std::vector<T> weights(std::size_t(columns * C));  // [tap][output][channel]
  for (Index i = 0; i < columns; ++i)
    for (Index c = 0; c < C; ++c)
      weights[std::size_t(i * C + c)] = matrix.data[matrix.tap_offset[std::size_t(i / matrix.outputs)] + i % matrix.outputs * matrix.output_step + c * matrix.depth_step];

  const auto [low, high] = std::minmax_element(H.offset.begin(), H.offset.end());
  const Index planes = grid.images * D.count, line = W.sources * columns;
  const Index most = std::max<Index>(kBandBytes / (line * Index(sizeof(float))) - (*high - *low), 4);
  const Index lines = std::min(most, ceil_div(H.count * planes, Index(16))), bands = ceil_div(H.count, lines);
  parallel_for(planes * bands, double(lines * line * C) / 30, [&, low = *low, high = *high](Range range) {
    struct Scratch;
    float* const t = static_cast<float*>(gemm_scratch<Scratch>(((lines + high - low) * line + kFewOutputs) * Index(sizeof(float))));  // the last vector reads further
    std::vector<FewTap> tap(static_cast<std::size_t>(taps));
    for (Index i = range.begin; i < range.end; ++i) {
      const Index d = i / bands % D.count, image = grid.first_image + i / (bands * D.count), plane = d * D.source_step + D.offset[0];
      const Index begin = i % bands * lines, end = std::min(begin + lines, H.count);
      const bool inside = plane >= 0 && plane < D.sources;
      const Index from = std::clamp<Index>(begin + low, 0, H.sources), to = inside ? std::clamp<Index>(end + high, from, H.sources) : from;
      if (from < to) gemm<T, float>((to - from) * W.sources, columns, C, source + ((image * D.sources + plane) * H.sources + from) * W.sources * source_pitch, source_pitch, 1, weights.data(), 1, C,
                     t, columns);
      for (Index h = begin; h < end; ++h) {
        Index n = 0;
        for (Index k = 0; k < taps; ++k) {
          const Index at = h + H.offset[std::size_t(k / across)] - from, left = W.offset[std::size_t(k % across)];
          if (at >= 0 && at < to - from) tap[std::size_t(n++)] = {(at * W.sources + left) * columns + k * matrix.outputs, left};
        }
        const Index row = ((image * D.targets + D.target_begin + D.target_step * d) * H.targets + H.target_begin + H.target_step * h) * W.targets + W.target_begin;
        run16<FewLine>(static_cast<const float*>(t), static_cast<const FewTap*>(tap.data()), n, columns, W.sources, W.count, matrix.outputs, epilogue, target, row * target_pitch,
                       W.target_step * target_pitch);
      }
    }
  });
}

}  // namespace detail

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
