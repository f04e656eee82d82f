// The weights' gradient of a convolution.
//
//   dW[tap][c][o] = Σ_p x[p ∘ tap][c] · dy[p][o]
//
// The positions are walked in chunks whose rows of x and dy stay in L2 while all taps, channels and outputs use them; a
// chunk's sum is made in registers and added to the partial gradient, so rounding grows with the number of chunks, not of
// positions. Positions are split into parts, and taps into ranges, by the problem's size alone; the parts are added in order.
#pragma once

#include <framegrad/cpu/conv.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// The taps' valid rows of one chunk times its dy panels, added to partial [taps][depth][outputs, filled up].
struct ConvWeightChunk {
  template <int B, class A>
  FRAMEGRAD_INLINE static void run(int vectors, const A* const* x, const std::int32_t* at, Index count, Index depth, const A* panels, Index rows,
                                   Index panel_count, A* partial) {
    with_tile<A, B>(vectors, [&](auto tile) FRAMEGRAD_LAMBDA {
      using Tile = decltype(tile);
      const Index ld = panel_count * Tile::N;
      for (Index c = 0; c < depth; c += Tile::M)
        for (Index panel = 0; panel < panel_count; ++panel) {
          const A* b = panels + panel * rows * Tile::N;
          A* out = partial + c * ld + panel * Tile::N;
          Tile::outer_tile(x, at, count, c, depth, b, out, ld);
        }
    });
  }
};

/// [rows][pitch] → panels [panel][rows][width], converted, filled up with zeros.
struct ConvPackRows {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(const T* from, Index rows, Index pitch, Index live, Index width, Index panel_count, A* to) {
    using V = Vec<A, B>;
    for (Index panel = 0; panel < panel_count; ++panel)
      for (Index r = 0; r < rows; ++r, to += width) {
        const T* row = from + r * pitch + panel * width;
        const Index n = std::min(width, live - panel * width);
        each<V>(n, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(to, l.load(row)); });
        for (Index j = n; j < width; ++j) to[j] = A(0);
      }
  }
};

/// dw(o, c, tap) at dw[o·output_step + c·depth_step + tap_offset[tap]], for one group. `x` and `dy` point at the group's first
/// channel; `grid` is the forward's, its targets the rows of dy in order.
template <class A, class T>
void convolve_weights(const ConvGrid& grid, const A* x, Index x_pitch, Index depth, const T* dy, Index dy_pitch, Index outputs, T* dw,
                      Index output_step, Index depth_step, const std::vector<Index>& tap_offset) {
  const Index positions = grid.positions(), taps = grid.taps();
  const int bytes = vector_bytes(), vectors = tile_vectors(outputs, bytes, int(sizeof(A)));
  const Index width = vectors * bytes / Index(sizeof(A)), panels = (outputs + width - 1) / width, ld = panels * width;
  const Index size = taps * depth * ld;
  constexpr Index kPartialLimit = Index(16) << 20;  // numbers in all parts together
  const Index parts = std::clamp<Index>(std::min(positions / 1024, kPartialLimit / std::max<Index>(size, 1)), 1, 16);
  const Index ranges = std::min<Index>(taps, (16 + parts - 1) / parts);
  std::vector<A> partial(std::size_t(parts * size), A(0));
  const double cost = double(positions) * double(depth * ld * taps) / double(parts * ranges) / 30.0;
  parallel_for(parts * ranges, cost, [&](Range r) {
    ConvRows<A> rows;
    std::vector<A> right(std::size_t(kConvBlock * ld));
    std::vector<const A*> left(std::size_t(kConvBlock), nullptr);
    std::vector<std::int32_t> at(std::size_t(kConvBlock), 0);
    for (Index task = r.begin; task < r.end; ++task) {
      const Index part = task / ranges, range = task % ranges;
      const Index blocks = (positions + kConvBlock - 1) / kConvBlock;
      for (Index block = blocks * part / parts; block < blocks * (part + 1) / parts; ++block) {
        const Range here{block * kConvBlock, std::min(positions, (block + 1) * kConvBlock)};
        rows.write(grid, here, x, x_pitch, nullptr);
        dispatch<ConvPackRows>(dy + here.begin * dy_pitch, here.size(), dy_pitch, outputs, width, panels, right.data());
        for (Index t = taps * range / ranges; t < taps * (range + 1) / ranges; ++t) {
          Index count = 0;
          for (Index i = 0; i < here.size(); ++i)
            if (const A* row = rows.row[std::size_t(t * kConvBlock + i)]) left[std::size_t(count)] = row, at[std::size_t(count++)] = std::int32_t(i);
          dispatch<ConvWeightChunk>(vectors, static_cast<const A* const*>(left.data()), static_cast<const std::int32_t*>(at.data()), count, depth,
                                    static_cast<const A*>(right.data()), here.size(), panels, partial.data() + part * size + t * depth * ld);
        }
      }
    }
  });
  parallel_for(depth, double(taps * ld * parts), [&](Range r) {
    for (Index c = r.begin; c < r.end; ++c)
      for (Index t = 0; t < taps; ++t) {
        A* sum = partial.data() + (t * depth + c) * ld;
        for (Index part = 1; part < parts; ++part)
          for (Index o = 0; o < outputs; ++o) sum[o] += sum[part * size + o];
        for (Index o = 0; o < outputs; ++o) dw[o * output_step + c * depth_step + tap_offset[std::size_t(t)]] = T(sum[o]);
      }
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
