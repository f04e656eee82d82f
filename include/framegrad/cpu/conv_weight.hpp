// The weights' gradient of a convolution.
//
//   dW[o][c][tap] = Σ_p dy[p][o] · x[p ∘ tap][c]
//
// Both lie on the lattice of conv_lattice.hpp: dy with zeros in the gaps is the left operand, its outputs the rows of a tile, x the right
// one, in slivers of channels, read at a tap's shift. The units that are summed over are cells, or pairs of neighbouring cells: since a
// shift may be odd, pairs are made beginning at even cells and at odd ones. Cells are walked in chunks; a chunk's sum is made in
// registers and added to the partial gradient, so rounding grows with the number of chunks, not of positions. Taps are
// split into ranges, and cells into parts, by the problem's size alone; the parts are added in order.
#pragma once

#include <framegrad/cpu/conv.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

/// Cells that a tile sums: the rows of a pass over them, and a sliver, stay in the first-level cache.
template <class U> inline constexpr Index kConvChunk = 256;
/// What chunks are multiples of, for a pair of blocks of AMX rows holds 32 cells.
inline constexpr Index kCellGroup = 32;

/// dy and x on a part's lattice.
template <class T, class U>
struct ConvOperands {
  static constexpr Index D = kUnitDepth<U>;
  Index cells, total;         // cells of dy, a multiple of kCellGroup; cells of x
  Index left_block, sliver;   // units apart
  ConvBuffer<U> left, right;  // [16 outputs][cells][16], pairs: [16 outputs][cells / 32][16][16]; [phase][parity][sliver][total / D][width]

  ConvOperands(const ConvLattice& lattice, const T* x, Index x_pitch, Index depth, const T* dy, Index dy_pitch, Index outputs, Index width)
      : cells(round_up(lattice.last_position(), kCellGroup)),
        total(round_up(lattice.front + lattice.positions() + kCellGroup, 2)),
        left_block(cells * kCellUnits / D),
        sliver(total / D * width),
        left(round_up(outputs, 2 * kCellUnits) * cells / D),
        right(Index(lattice.phases.size()) * D * ceil_div(depth, width) * sliver) {
    pack_left(lattice.targets(), dy, dy_pitch, outputs);
    const Index version = ceil_div(depth, width) * sliver;
    for (std::size_t i = 0; i < lattice.phases.size(); ++i)
      for (Index parity = 0; parity < D; ++parity)
        pack_right(lattice.sources(lattice.phases[i]), parity - lattice.front, x, x_pitch, depth, width, right.data() + (Index(i) * D + parity) * version);
  }

  const U* left_at(Index block, Index cell) const { return left.data() + block * left_block + cell * kCellUnits / D; }
  /// `cell` counts from the front's first; of channels [sliver·width, …).
  const U* right_at(Index phase, Index slivers, Index s, Index cell, Index width) const {
    return right.data() + ((phase * D + cell % D) * slivers + s) * sliver + cell / D * width;
  }

 private:
  void pack_left(const ConvCells& targets, const T* dy, Index pitch, Index outputs) {
    if constexpr (D == 1) {
      copy_conv_cells(targets, 0, cells, dy, pitch, outputs, kCellUnits, left.data());
    } else {
#if defined(__x86_64__)
      const Index blocks = round_up(outputs, 2 * kCellUnits) / kCellUnits;
      parallel_for(cells / kCellGroup, double(kCellGroup * outputs) / 4, [&](Range r) {
        Index rows[kCellGroup];
        for (Index i = r.begin; i < r.end; ++i) {
          targets.rows(i * kCellGroup, kCellGroup, rows);
          for (Index b = 0; b < blocks; ++b)
            run64<ConvPairRows>(dy + b * kCellUnits, pitch, static_cast<const Index*>(rows), outputs - b * kCellUnits, left.data() + b * left_block + i * kCellUnits * kCellUnits);
        }
      });
#endif
    }
  }
  void pack_right(const ConvCells& sources, Index first, const T* x, Index pitch, Index depth, Index width, U* to) {
    if constexpr (D == 1) {
      copy_conv_cells(sources, first, total, x, pitch, depth, width, to);
    } else {
#if defined(__x86_64__)
      constexpr Index kRun = 256;
      parallel_for(ceil_div(total, kRun), double(kRun * depth) / 8, [&](Range r) {
        Index rows[kRun];
        for (Index at = r.begin * kRun; at < std::min(total, r.end * kRun); at += kRun) {
          const Index count = std::min(kRun, total - at);
          sources.rows(first + at, count, rows);
          for (Index s = 0; s * width < depth; ++s)
            run64<ConvPairColumns>(x + s * width, pitch, static_cast<const Index*>(rows), count, depth - s * width, to + s * sliver + at / D * width);
        }
      });
#endif
    }
  }
};

/// One chunk of cells of one tap and sliver: sums[outputs, filled up][width] += left·right.
struct ConvWeightChunk {
  template <int B, class A>
  FRAMEGRAD_INLINE static void run(const A* left, Index left_block, const A* right, Index cells, Index outputs, Index width, bool narrow, A* sums) {
    constexpr int R = kOutputRows<B>;
    static_assert(kCellUnits % R == 0);
    const Index at = 0;
    const ConvSteps steps{&at, 1, 0, cells};
    for (Index o = 0; o < outputs; o += R) {
      const A* const from = left + o / kCellUnits * left_block + o % kCellUnits;
      if (narrow) ConvTile<A, B, R, 1, 1, kCellUnits>::run(steps, from, right, sums + o * width, width, true);
      else ConvTile<A, B, R, 2, 1, kCellUnits>::run(steps, from, right, sums + o * width, width, true);
    }
  }
};

#if defined(__x86_64__)
/// The same by pairs.
inline void add_conv_pairs(bool tiles, const Pair* left, Index left_block, const Pair* right, Index cells, Index outputs, float* sums) {
  constexpr Index kSteps = kConvChunk<Pair> / kCellGroup, group = kCellUnits * kCellUnits;
  static constexpr auto kAt = [] {
    std::array<Index, kSteps> at{};
    for (Index i = 0; i < kSteps; ++i) at[std::size_t(i)] = i * group;
    return at;
  }();
  const ConvSteps steps{kAt.data(), cells / kCellGroup, cells / kCellGroup, 0};
  for (Index o = 0; o < outputs; o += 2 * kPairRows) {
    const Pair* const from = left + o / kPairRows * left_block;
    multiply_pairs(tiles, steps, from, from + left_block, right, sums + o * kPairWidth, true);
  }
}
#endif

template <class T, class U>
void convolve_weights_in_units(const ConvGrid& whole, const T* x, Index x_pitch, const T* dy, Index dy_pitch, const ConvMatrix<T>& dw) {
  using A = UnitSum<U>;
  constexpr bool pairs = std::is_same_v<U, Pair>;
  [[maybe_unused]] const bool tiles = pairs && isa() == Isa::amx;
  const Index taps = Index(dw.tap_offset.size()), width = sliver_width<U>(), slivers = ceil_div(dw.depth, width), outputs = dw.outputs;
  const Index rows_filled = round_up(outputs, 2 * kCellUnits), columns = slivers * taps, size = columns * rows_filled * width;
  constexpr Index kPartialLimit = Index(16) << 20;  // numbers in all parts together
  const Index parts = columns >= 16 ? 1 : std::clamp<Index>(std::min(whole.positions() / 1024, kPartialLimit / std::max<Index>(size, 1)), 1, ceil_div(16, std::max<Index>(columns, 1)));
  const Index ranges = std::min<Index>(columns, 16);
  const ConvBuffer<A> partial(parts * size);  // [part][sliver][tap][rows_filled][width]
  std::fill(partial.data(), partial.data() + parts * size, A(0));
  each_conv_part(whole, (round_up(outputs, kCellUnits) + slivers * width * kUnitDepth<U>) * Index(sizeof(U)) / kUnitDepth<U>, [&](const ConvGrid&, const ConvLattice& lattice) {
    const ConvOperands<T, U> operands(lattice, x, x_pitch, dw.depth, dy, dy_pitch, outputs, width);
    const Index chunks = ceil_div(operands.cells, kConvChunk<U>);
    parallel_for(parts * ranges, double(operands.cells) * double(size) / double(parts * ranges) / (pairs ? 300 : 30), [&](Range r) {
#if defined(__x86_64__)
      if (tiles) amx_begin();
#endif
      for (Index task = r.begin; task < r.end; ++task) {
        const Index part = task / ranges, range = task % ranges;
        for (Index chunk = chunks * part / parts; chunk < chunks * (part + 1) / parts; ++chunk) {
          const Index cell = chunk * kConvChunk<U>, cells = std::min(kConvChunk<U>, operands.cells - cell);
          for (Index column = columns * range / ranges; column < columns * (range + 1) / ranges; ++column) {
            const Index s = column / taps;
            const ConvLattice::Tap& tap = lattice.taps[std::size_t(column % taps)];
            const U* const right = operands.right_at(tap.phase, slivers, s, lattice.front + tap.shift + cell, width);
            A* const sums = partial.data() + (part * columns + column) * rows_filled * width;
            if constexpr (pairs) add_conv_pairs(tiles, operands.left_at(0, cell), operands.left_block, right, cells, outputs, sums);
            else dispatch<ConvWeightChunk>(operands.left_at(0, cell), operands.left_block, right, cells, outputs, width, 2 * (dw.depth - s * width) <= width, sums);
          }
        }
      }
#if defined(__x86_64__)
      if (tiles) amx_end();
#endif
    });
  });
  parallel_for(outputs, double(taps * slivers * width * parts), [&](Range r) {
    for (Index o = r.begin; o < r.end; ++o)
      for (Index column = 0; column < columns; ++column) {
        const Index c = column / taps * width;
        A* const sum = partial.data() + (column * rows_filled + o) * width;
        T* const to = dw.data + o * dw.output_step + c * dw.depth_step + dw.tap_offset[std::size_t(column % taps)];
        for (Index i = 0; i < std::min(width, dw.depth - c); ++i) {
          for (Index part = 1; part < parts; ++part) sum[i] += sum[part * size + i];
          to[i * dw.depth_step] = T(sum[i]);
        }
      }
  });
}

}  // namespace detail

/// dw(o, c, tap) ← Σ over positions, for one group. `x` and `dy` point at the group's first channel; `grid` is the forward's, its
/// targets the rows of dy.
template <class T>
void convolve_weights(const ConvGrid& grid, const T* x, Index x_pitch, const T* dy, Index dy_pitch, const ConvMatrix<T>& dw) {
  if constexpr (std::is_same_v<T, bf16>) {
    if (detail::conv_by_pairs<T>(std::min(dw.depth, dw.outputs))) return detail::convolve_weights_in_units<T, Pair>(grid, x, x_pitch, dy, dy_pitch, dw);
  }
  detail::convolve_weights_in_units<T, accum_t<T>>(grid, x, x_pitch, dy, dy_pitch, dw);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
