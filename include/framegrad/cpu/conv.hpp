// Convolution over channels-last rows, without im2col: output and data gradient, as one gather over taps.
//
//   target[p] = epilogue(Σ_taps source[p ∘ tap] · W[tap])            a row of channels for each position p of a grid
//
// Forward: the grid is the output, and source index = stride·p + dilation·tap − padding. Data gradient: dx at the input
// positions i ≡ r (mod stride) takes the taps with r + padding − dilation·tap ≡ 0 (mod stride), with source index
// p + (r + padding − dilation·tap)/stride: a convolution of its own for each residue r, in which no product is wasted.
//
// Windows of 3x3 in f32 take fewer products (conv_winograd.hpp), a few outputs another order of the sums (conv_few.hpp). Everything else:
// the source is copied once into a lattice (conv_lattice.hpp) of cells of 16 units, block of channels by block, in the type that is
// multiplied. A tile's sum then runs over all blocks and taps: the left operand is read at a constant offset for each, the right one,
// the weights, in order. Bytes: the source is read and written once more than the least.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/conv_few.hpp>
#include <framegrad/cpu/conv_lattice.hpp>
#include <framegrad/cpu/conv_pairs.hpp>
#include <framegrad/cpu/conv_tile.hpp>
#include <framegrad/cpu/conv_winograd.hpp>
#include <framegrad/cpu/gemm.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

inline constexpr Index kConvBlock = 448;    // cells a task, about: many tiles, and their targets' list stays small
inline constexpr Index kConvRun = 256;      // cells that are copied at a time
inline constexpr Index kConvStretch = 256;  // steps that a tile sums at a time: a sliver of 512 KiB stays in the second-level cache

/// Channels in a cell, and the type that they are copied in.
template <class U> inline constexpr Index kCellChannels = kCellUnits * kUnitDepth<U>;
template <class U> using CellOf = std::conditional_t<std::is_same_v<U, Pair>, bf16, U>;

/// Weights in slivers: [sliver][step][unit][width]. Steps are ordered as [tap of the depth][block of channels][tap of the plane].
template <class T, class U>
ConvBuffer<U> pack_conv_weights(const ConvMatrix<const T>& w, Index plane_taps) {
  constexpr int D = kUnitDepth<U>;
  const Index taps = Index(w.tap_offset.size()), blocks = ceil_div(w.depth, kCellChannels<U>), steps = blocks * taps, width = sliver_width<U>();
  const Index slivers = ceil_div(w.outputs, width);
  ConvBuffer<U> packed(slivers * steps * kCellUnits * width);
  parallel_for(slivers * steps, 0.5 * double(kCellUnits * width), [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i) {
      const Index o = i / steps * width, step = i % steps, c = step / plane_taps % blocks * kCellChannels<U>;
      const Index tap = w.tap_offset[std::size_t(step / (plane_taps * blocks) * plane_taps + step % plane_taps)];
      U* const to = packed.data() + i * kCellUnits * width;
      if constexpr (D == 2) {
#if defined(__x86_64__)
        run64<PackSlivers<T, U>>(Operand<T>{w.data + tap, w.outputs, w.depth, w.output_step, w.depth_step}, o, width, c / D, kCellUnits, to);
#endif
      } else {
        const Index live = std::min(width, w.outputs - o);
        for (Index u = 0; u < std::min(kCellUnits, w.depth - c); ++u) {
          const T* const from = w.data + o * w.output_step + (c + u) * w.depth_step + tap;
          for (Index j = 0; j < live; ++j) to[u * width + j] = U(from[j * w.output_step]);
          std::fill(to + u * width + live, to + (u + 1) * width, U(0));
        }
      }
    }
  });
  return packed;
}

/// Rows that `cells` names from `first` on, as [block][total][width], `depth` channels in all.
template <class T, class C>
void copy_conv_cells(const ConvCells& cells, Index first, Index total, const T* from, Index pitch, Index depth, Index width, C* to) {
  parallel_for(ceil_div(total, kConvRun), double(kConvRun * depth) / 8, [&](Range r) {
    Index rows[kConvRun];
    for (Index at = r.begin * kConvRun; at < std::min(total, r.end * kConvRun); at += kConvRun) {
      const Index count = std::min(kConvRun, total - at);
      cells.rows(first + at, count, rows);
      for (Index c = 0; c < depth; c += width)
        dispatch<ConvCopy>(from + c, pitch, static_cast<const Index*>(rows), count, std::min(width, depth - c), width, to + (c * total + at * width));
    }
  });
}

/// One task: tiles that begin at the cells `start`, whose rows' targets are listed from `target[start − first]` on.
template <class T, class U>
struct ConvTask {
  const U* source;   // at cell 0 of the lattice
  ConvSteps steps;
  const U* weights;  // [sliver][step][unit][width], from the task's first step on
  Index sliver, width;  // slivers are `sliver` units apart
  Range slivers;
  const Index *start, *target;
  Index tiles, first;
  ConvEpilogue<UnitSum<U>, T> epilogue;
  T* y;
  Index outputs, pitch;
  UnitSum<U>* sums;  // [tiles][Rows][width]

  /// multiply(tile, narrow, steps, weights, sums, add) for each `group` tiles of `Rows` rows; after a tile's last steps, store(tile, first output, outputs, sums).
  template <Index Rows, class Multiply, class Store>
  FRAMEGRAD_INLINE void each_tile(Index group, const Multiply& multiply, const Store& store) const {
    const bool at_once = steps.count <= kConvStretch;
    for (Index j = slivers.begin; j < slivers.end; ++j) {
      const Index o = j * width, live = std::min(width, outputs - o);
      Index s = 0;
      do {
        const Index n = std::min(steps.count - s, kConvStretch);
        for (Index i = 0; i < tiles; i += group) {
          UnitSum<U>* const to = sums + (at_once ? 0 : i * Rows * width);
          multiply(i, 2 * live <= width, ConvSteps{steps.step + s, n}, weights + j * sliver + s * kCellUnits * width, to, s > 0);
          for (Index k = i; s + n == steps.count && k < std::min(i + group, tiles); ++k) store(k, o, live, to + (k - i) * Rows * width);
        }
        s += n;
      } while (s < steps.count);
    }
  }
};

struct ConvFma {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const ConvTask<T, A>& t) {
    constexpr int R = kCellRows<B>;
    t.template each_tile<R>(
        1,
        [&](Index i, bool narrow, const ConvSteps& steps, const A* weights, A* sums, bool add) FRAMEGRAD_LAMBDA {
          const A* const from = t.source + t.start[i] * kCellUnits;
          if (narrow) ConvTile<A, B, R, 1, kCellUnits, 1>::run(steps, from, weights, sums, t.width, add);
          else ConvTile<A, B, R, 2, kCellUnits, 1>::run(steps, from, weights, sums, t.width, add);
        },
        [&](Index i, Index o, Index live, const A* sums) FRAMEGRAD_LAMBDA {
          ConvStore<>::run<B>(R, o, live, sums, t.width, t.epilogue, t.target + (t.start[i] - t.first), t.y, t.pitch);
        });
  }
};

#if defined(__x86_64__)
inline void run_conv_pairs(const ConvTask<bf16, Pair>& t, bool tiles) {
  const auto store = [&]<Index rows>(std::integral_constant<Index, rows>) {
    return [&](Index i, Index o, Index live, const float* sums) {
      run64<ConvStore<true>>(rows, o, live, sums, t.width, t.epilogue, t.target + (t.start[i] - t.first), t.y, t.pitch);
    };
  };
  const auto from = [&](Index i) { return t.source + t.start[std::min(i, t.tiles - 1)] * kCellUnits; };
  if (tiles) {
    t.each_tile<kPairRows>(
        2, [&](Index i, bool, const ConvSteps& steps, const Pair* weights, float* sums, bool add) { conv_tile_amx(steps, from(i), from(i + 1), weights, sums, add); },
        store(std::integral_constant<Index, kPairRows>{}));
  } else {
    constexpr int R = kCellRows<64>;
    t.each_tile<R>(
        1, [&](Index i, bool, const ConvSteps& steps, const Pair* weights, float* sums, bool add) { conv_tile_dot<R>(steps, from(i), weights, sums, add); },
        store(std::integral_constant<Index, R>{}));
  }
}
#endif

template <class T, class U>
void convolve_in_units(const ConvGrid& whole, const T* source, Index source_pitch, const ConvMatrix<const T>& matrix,
                       const ConvEpilogue<UnitSum<U>, T>& epilogue, T* target, Index target_pitch) {
  constexpr bool pairs = std::is_same_v<U, Pair>;
  const Index depth = matrix.depth, blocks = ceil_div(depth, kCellChannels<U>), width = sliver_width<U>(), slivers = ceil_div(matrix.outputs, width);
  const Index depth_taps = Index(whole.axis[0].tap.size()), plane_taps = depth_taps ? whole.taps() / depth_taps : 0, depth_steps = blocks * plane_taps;
  const ConvBuffer<U> weights = pack_conv_weights<T, U>(matrix, plane_taps);
  const int bytes = vector_bytes();
  const bool tiles = pairs && isa() == Isa::amx;
  const Index rows = tiles ? kCellUnits : bytes == 64 ? kCellRows<64> : bytes == 32 ? kCellRows<32> : kCellRows<16>;
  each_conv_part(whole, blocks * kCellUnits * Index(sizeof(U)), [&](const ConvLattice& lattice) {
    const Index total = lattice.cells(rows), phase = blocks * total * kCellUnits;
    const ConvBuffer<U> copy(Index(lattice.phases.size()) * phase);
    for (std::size_t i = 0; i < lattice.phases.size(); ++i)
      copy_conv_cells(lattice.sources(lattice.phases[i]), -lattice.front, total, source, source_pitch, depth, kCellChannels<U>,
                      reinterpret_cast<CellOf<U>*>(copy.data() + Index(i) * phase));
    std::vector<ConvStep> steps;
    for (Index k = 0; k < depth_taps; ++k)
      for (Index c = 0; c < blocks; ++c)
        for (Index t = k * plane_taps; t < (k + 1) * plane_taps; ++t) {
          const ConvLattice::Tap& tap = lattice.taps[std::size_t(t)];
          const Index live = std::min(depth - c * kCellChannels<U>, kCellChannels<U>);
          steps.push_back({tap.phase * phase + (c * total + lattice.front + tap.shift) * kCellUnits, ceil_div(live, Index(kUnitDepth<U>))});
        }

    // Planes of a block of lines follow each other: they share most of the source's.
    const ConvCells targets = lattice.targets();
    const Index cells = lattice.section_cells(), line = targets.pitch[2], block = std::min(cells, line < kConvBlock ? kConvBlock / line * line : kConvBlock);
    const Index row_blocks = ceil_div(cells, block), planes = lattice.depth(), tasks = lattice.images() * row_blocks * planes;
    // Few tasks: share out the slivers too. The number of shares does not change any sum.
    const Index shares = std::min<Index>(slivers, tasks >= 16 ? 1 : ceil_div(16, tasks));
    const Index sums_rows = Index(steps.size()) <= kConvStretch ? 2 * rows : (block + 2) * rows;
    parallel_for(tasks * shares, double(block) * double(Index(steps.size()) * kCellUnits * slivers * width) / double(shares) / (pairs ? 300 : 30), [&](Range r) {
#if defined(__x86_64__)
      if (tiles) amx_begin();
#endif
      struct Sums;
      auto* const sums = static_cast<UnitSum<U>*>(gemm_scratch<Sums>(sums_rows * width * Index(sizeof(UnitSum<U>))));
      std::vector<Index> row(std::size_t(block + rows)), start(static_cast<std::size_t>(block));
      for (Index i = r.begin; i < r.end; ++i) {
        const Index share = i % shares, d = i / shares % planes, b = i / (shares * planes) % row_blocks, image = i / (shares * planes * row_blocks);
        const ConvLattice::Section section = lattice.section(image, d);
        const Index first = section.first + b * block, count = std::min(block, cells - b * block), skipped = section.tap_begin * depth_steps;
        targets.rows(first, count, row.data());
        std::fill(row.begin() + count, row.end(), -1);
        Index n = 0;
        for (Index c = 0; c < count; ++c)
          if (row[std::size_t(c)] >= 0) start[std::size_t(n++)] = first + c, c += rows - 1;
        const ConvTask<T, U> task{copy.data(),
                                  {steps.data() + skipped, (section.tap_end - section.tap_begin) * depth_steps},
                                  weights.data() + skipped * kCellUnits * width,
                                  Index(steps.size()) * kCellUnits * width,
                                  width,
                                  {slivers * share / shares, slivers * (share + 1) / shares},
                                  start.data(),
                                  row.data(),
                                  n,
                                  first,
                                  epilogue,
                                  target,
                                  matrix.outputs,
                                  target_pitch,
                                  sums};
        if constexpr (!pairs) dispatch<ConvFma>(task);
#if defined(__x86_64__)
        else run_conv_pairs(task, tiles);
#endif
      }
#if defined(__x86_64__)
      if (tiles) amx_end();
#endif
    }, 1, 16);
  });
}

/// Whether bf16 is multiplied by pairs: of few channels a cell of 32 is mostly zeros.
template <class T>
bool conv_by_pairs(Index channels) { return std::is_same_v<T, bf16> && isa() >= Isa::avx512_bf16 && channels >= 4; }

}  // namespace detail

/// target rows ← epilogue(Σ taps), for one group. `source` and `target` point at the group's first channel; pitches are whole rows.
template <class T>
void convolve(const ConvGrid& grid, const T* source, Index source_pitch, const ConvMatrix<const T>& w, const ConvEpilogue<accum_t<T>, T>& epilogue, T* target,
              Index target_pitch) {
  if constexpr (std::is_same_v<accum_t<T>, float>) {
    if (detail::few_fits(grid, w.depth, w.outputs)) return detail::convolve_to_few(grid, source, source_pitch, w, epilogue, target, target_pitch);
    if constexpr (std::is_same_v<T, bf16>) {
      if (detail::conv_by_pairs<T>(w.depth)) return detail::convolve_in_units<T, Pair>(grid, source, source_pitch, w, epilogue, target, target_pitch);
    }
    if (detail::winograd_fits(grid, w.depth, w.outputs)) return detail::convolve_winograd(grid, source, source_pitch, w, epilogue, target, target_pitch);
  }
  detail::convolve_in_units<T, accum_t<T>>(grid, source, source_pitch, w, epilogue, target, target_pitch);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
