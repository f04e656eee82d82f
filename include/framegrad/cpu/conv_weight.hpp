// The weights' gradient of a convolution.
//
//   dW[o][c][tap] = Σ_p dy[p][o] · x[p ∘ tap][c]
//
// Both lie on the lattice of conv_lattice.hpp: dy with zeros in the gaps is the left operand, its outputs the rows of a tile, x the right
// one, in slivers of channels, read at a tap's shift. The units that are summed over are cells, or pairs of neighbouring cells: since a
// shift may be odd, pairs are made beginning at even cells and at odd ones. Cells are walked in chunks; a chunk's sum is made in
// registers and added to the partial gradient, so rounding grows with the number of chunks, not of positions. Cells are
// split into parts, and taps into ranges, by the problem's size alone; the parts are added in order.
#pragma once

#include <framegrad/cpu/conv.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

/// Cells that a tile sums: the rows of a pass over them, and a sliver, stay in the first-level cache.
template <class U> inline constexpr Index kConvChunk = 128 * kUnitDepth<U>;
/// What chunks are multiples of: a block of AMX rows holds 32 cells.
inline constexpr Index kCellGroup = 32;

/// dy and x on a part's lattice.
template <class T, class U>
struct ConvOperands {
  static constexpr Index D = kUnitDepth<U>;
  const ConvLattice& lattice;
  Index width, slivers, blocks, cells, total;  // of dy: blocks of 16 outputs, cells a section, a multiple of kCellGroup; of x: cells
  ConvBuffer<U> left, right;  // [section][block][cells][16], pairs: [section][block][cells / 32][16][16]; [phase][parity][sliver][total / D][width]

  ConvOperands(const ConvLattice& lattice_, const T* x, Index x_pitch, Index depth, const T* dy, Index dy_pitch, Index outputs)
      : lattice(lattice_),
        width(sliver_width<U>()),
        slivers(ceil_div(depth, width)),
        blocks(round_up(outputs, 2 * kCellUnits) / kCellUnits),
        cells(round_up(lattice.section_cells(), kCellGroup)),
        total(round_up(lattice.front + lattice.positions() + kCellGroup, 2)),
        left(lattice.images() * lattice.depth() * blocks * cells * kCellUnits / D),
        right(Index(lattice.phases.size()) * D * slivers * total / D * width) {
    pack_left(dy, dy_pitch, outputs);
    for (std::size_t i = 0; i < lattice.phases.size(); ++i)
      for (Index parity = 0; parity < D; ++parity)
        pack_right(lattice.sources(lattice.phases[i]), parity, x, x_pitch, depth, right.data() + (Index(i) * D + parity) * slivers * total / D * width);
  }

  /// Block 0 at a cell of a section; blocks are left_step() units apart.
  const U* left_at(Index section, Index cell) const { return left.data() + section * blocks * left_step() + cell * kCellUnits / D; }
  Index left_step() const { return cells * kCellUnits / D; }
  /// `cell` of the lattice, as a tap reads it.
  const U* right_at(const ConvLattice::Tap& tap, Index sliver, Index cell) const {
    const Index at = lattice.front + tap.shift + cell;
    return right.data() + (((tap.phase * D + at % D) * slivers + sliver) * (total / D) + at / D) * width;
  }

 private:
  void pack_left(const T* dy, Index pitch, Index outputs) {
    const ConvCells targets = lattice.targets();
    const Index runs = ceil_div(cells, kConvRun), live = lattice.section_cells(), depth = lattice.depth();
    parallel_for(lattice.images() * depth * runs, double(kConvRun * outputs) / 8, [&](Range r) {
      Index rows[kConvRun];
      for (Index i = r.begin; i < r.end; ++i) {
        const Index section = i / runs, at = i % runs * kConvRun, count = std::min(kConvRun, cells - at);
        targets.rows(lattice.section(section / depth, section % depth).first + at, count, rows);
        for (Index c = std::max<Index>(live - at, 0); c < count; ++c) rows[c] = -1;  // the next section's
        for (Index b = 0; b < blocks; ++b) {
          U* const to = left.data() + (section * blocks + b) * left_step() + at * kCellUnits / D;
          const Index outputs_left = std::clamp<Index>(outputs - b * kCellUnits, 0, kCellUnits);
          const T* const from = dy + std::min(b * kCellUnits, outputs);
          if constexpr (D == 1) {
            dispatch<ConvCopy>(from, pitch, static_cast<const Index*>(rows), count, outputs_left, Index(kCellUnits), to);
          } else {
#if defined(__x86_64__)
            for (Index c = 0; c < count; c += kCellGroup) run64<ConvPairRows>(from, pitch, static_cast<const Index*>(rows + c), outputs_left, to + c * kCellUnits / D);
#endif
          }
        }
      }
    });
  }
  void pack_right(const ConvCells& sources, Index parity, const T* x, Index pitch, Index depth, U* to) {
    if constexpr (D == 1) {
      copy_conv_cells(sources, -lattice.front, total, x, pitch, depth, width, to);
    } else {
#if defined(__x86_64__)
      parallel_for(ceil_div(total, kConvRun), double(kConvRun * depth) / 8, [&](Range r) {
        Index rows[kConvRun];
        for (Index at = r.begin * kConvRun; at < std::min(total, r.end * kConvRun); at += kConvRun) {
          const Index count = std::min(kConvRun, total - at);
          sources.rows(parity - lattice.front + at, count, rows);
          for (Index s = 0; s < slivers; ++s)
            run64<ConvPairColumns>(x + s * width, pitch, static_cast<const Index*>(rows), count, depth - s * width, to + (s * total + at) / D * width);
        }
      });
#endif
    }
  }
};

/// One chunk of cells of one tap and sliver: sums[outputs, filled up][width] += left·right.
struct ConvWeightChunk {
  template <int B, class A>
  FRAMEGRAD_INLINE static void run(const A* left, Index left_step, const A* right, Index cells, Index outputs, Index width, bool narrow, A* sums) {
    constexpr int R = kOutputRows<B>;
    static_assert(kCellUnits % R == 0);
    const ConvStep all{0, cells};
    for (Index o = 0; o < outputs; o += R) {
      const A* const from = left + o / kCellUnits * left_step + o % kCellUnits;
      if (narrow) ConvTile<A, B, R, 1, 1, kCellUnits>::run({&all, 1}, from, right, sums + o * width, width, true);
      else ConvTile<A, B, R, 2, 1, kCellUnits>::run({&all, 1}, from, right, sums + o * width, width, true);
    }
  }
};

#if defined(__x86_64__)
/// The same by pairs.
inline void add_conv_pairs(bool tiles, const Pair* left, Index left_step, const Pair* right, Index cells, Index outputs, float* sums) {
  static constexpr auto kGroups = [] {
    std::array<ConvStep, kConvChunk<Pair> / kCellGroup> groups{};
    for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = {Index(i) * kCellUnits * kCellUnits, kCellUnits};
    return groups;
  }();
  for (Index o = 0; o < outputs; o += 2 * kPairRows) {
    const Pair* const from = left + o / kPairRows * left_step;
    float* const to = sums + o * kPairWidth;
    const ConvSteps groups{kGroups.data(), cells / kCellGroup};
    if (tiles) {
      conv_tile_amx(groups, from, from + left_step, right, to, true);
    } else {
      constexpr int R = kOutputRows<64>;
      for (Index r = 0; r < 2 * kPairRows; r += R) conv_tile_dot<R>(groups, from + r / kPairRows * left_step + r % kPairRows * kCellUnits, right, to + r * kPairWidth, true);
    }
  }
}
#endif

template <class T, class U>
void convolve_weights_in_units(const ConvGrid& whole, const T* x, Index x_pitch, const T* dy, Index dy_pitch, const ConvMatrix<T>& dw) {
  using A = UnitSum<U>;
  constexpr bool pairs = std::is_same_v<U, Pair>;
  [[maybe_unused]] const bool tiles = pairs && isa() == Isa::amx;
  const Index taps = Index(dw.tap_offset.size()), plane_taps = taps / Index(whole.axis[0].tap.size());
  const Index width = sliver_width<U>(), slivers = ceil_div(dw.depth, width), outputs = dw.outputs;
  const Index rows_filled = round_up(outputs, 2 * kCellUnits), columns = slivers * taps, size = columns * rows_filled * width;
  constexpr Index kPartialLimit = Index(16) << 20;  // numbers in all parts together
  const Index parts = std::clamp<Index>(std::min(whole.positions() / 4096, kPartialLimit / std::max<Index>(size, 1)), 1, 8);
  const Index ranges = std::min(columns, ceil_div(16, parts));
  const ConvBuffer<A> partial(parts * size);  // [part][sliver][tap][rows_filled][width]
  std::fill(partial.data(), partial.data() + parts * size, A(0));
  each_conv_part(whole, (round_up(outputs, kCellUnits) + slivers * width * kUnitDepth<U>) * Index(sizeof(U)) / kUnitDepth<U>, [&](const ConvLattice& lattice) {
    const ConvOperands<T, U> operands(lattice, x, x_pitch, dw.depth, dy, dy_pitch, outputs);
    // Planes of a chunk of lines follow each other: they share most of x.
    const Index row_chunks = ceil_div(operands.cells, kConvChunk<U>), planes = lattice.depth(), chunks = lattice.images() * row_chunks * planes;
    parallel_for(parts * ranges, double(chunks * kConvChunk<U>) * double(size) / double(parts * ranges) / (pairs ? 300 : 30), [&](Range r) {
#if defined(__x86_64__)
      if (tiles) amx_begin();
#endif
      for (Index task = r.begin; task < r.end; ++task) {
        const Index part = task / ranges, range = task % ranges;
        for (Index i = chunks * part / parts; i < chunks * (part + 1) / parts; ++i) {
          const Index d = i % planes, image = i / (planes * row_chunks), cell = i / planes % row_chunks * kConvChunk<U>;
          const Index cells = std::min(kConvChunk<U>, operands.cells - cell);
          const ConvLattice::Section section = lattice.section(image, d);
          const U* const left = operands.left_at(image * planes + d, cell);
          for (Index column = columns * range / ranges; column < columns * (range + 1) / ranges; ++column) {
            const Index s = column / taps, t = column % taps, depth_tap = t / plane_taps;
            if (depth_tap < section.tap_begin || depth_tap >= section.tap_end) continue;
            const U* const right = operands.right_at(lattice.taps[std::size_t(t)], s, section.first + cell);
            A* const sums = partial.data() + (part * columns + column) * rows_filled * width;
            if constexpr (pairs) add_conv_pairs(tiles, left, operands.left_step(), right, cells, outputs, sums);
            else dispatch<ConvWeightChunk>(left, operands.left_step(), right, cells, outputs, width, 2 * (dw.depth - s * width) <= width, sums);
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
