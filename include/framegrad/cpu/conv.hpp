// Convolution over channels-last rows, without im2col: output and data gradient, as one gather over taps.
//
//   target[p] = bias + Σ_taps source[p ∘ tap] · W[tap]            a row of channels for each position p of a grid
//
// Forward: the grid is the output, and source index = stride·p + dilation·tap − padding. Data gradient: dx at the input
// positions i ≡ r (mod stride) takes the taps with r + padding − dilation·tap ≡ 0 (mod stride), with source index
// p + (r + padding − dilation·tap)/stride: a convolution of its own for each residue r, in which no product is wasted.
//
// A task owns a block of positions and some of the panels (the weights of a tile's worth of output channels). It writes
// down the pointers of its rows once and walks the sum in stretches of kDepth, so that a stretch of a panel stays in L2.
#pragma once

#include <vector>

#include <framegrad/core/parallel.hpp>
#include <framegrad/core/shape.hpp>
#include <framegrad/cpu/conv_tile.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// One axis of the gather: `count` positions p; target index begin + step·p, source index source_step·p + offset[k] for the tap[k]-th tap.
struct ConvAxis {
  Index count = 1, sources = 1, targets = 1;
  Index source_step = 1, target_begin = 0, target_step = 1;
  std::vector<Index> offset{0}, tap{0};
};

struct ConvGrid {
  Index images = 0;
  std::array<ConvAxis, 3> axis;

  Index positions() const { return images * axis[0].count * axis[1].count * axis[2].count; }
  Index taps() const { return Index(axis[0].tap.size() * axis[1].tap.size() * axis[2].tap.size()); }
};

inline constexpr Index kConvBlock = 192;  // positions a task: a multiple of every tile's rows
inline constexpr Index kConvDepth = 1024;  // products a stretch: 48 channels of f32 panel are then 196 KB
static_assert(kConvBlock % kTileRowsMultiple == 0);

/// The rows of up to kConvBlock positions: for each tap a pointer into the source (to `zero` outside of it), and the target's index.
template <class A>
struct ConvRows {
  std::vector<const A*> row;   // [taps][kConvBlock]
  std::vector<Index> target;   // [positions]

  void write(const ConvGrid& grid, Range positions, const A* source, Index pitch, const A* zero) {
    const auto& [D, H, W] = grid.axis;
    const Index taps = grid.taps();
    row.assign(std::size_t(taps * kConvBlock), zero);
    target.resize(std::size_t(positions.size()));
    for (Index i = 0; i < positions.size(); ++i) {
      const Index p = positions.begin + i;
      const Index w = p % W.count, h = p / W.count % H.count, d = p / (W.count * H.count) % D.count, n = p / (W.count * H.count * D.count);
      target[std::size_t(i)] = ((n * D.targets + D.target_begin + d * D.target_step) * H.targets + H.target_begin + h * H.target_step) * W.targets +
                               W.target_begin + w * W.target_step;
      const A** at = row.data() + i;
      for (const Index od : D.offset) {
        const Index sd = d * D.source_step + od;
        for (const Index oh : H.offset) {
          const Index sh = h * H.source_step + oh;
          const bool inside = sd >= 0 && sd < D.sources && sh >= 0 && sh < H.sources;
          const A* line = source + ((n * D.sources + sd) * H.sources + sh) * W.sources * pitch;
          for (const Index ow : W.offset) {
            const Index sw = w * W.source_step + ow;
            if (inside && sw >= 0 && sw < W.sources) *at = line + sw * pitch;
            at += kConvBlock;
          }
        }
      }
    }
  }
};

/// Weights of one group in panels: [panel][tap][depth][N], N the channels of a tile, filled up with zeros.
template <class A>
struct ConvPanels {
  int vectors = 1;
  Index width = 1, depth = 0, taps = 0, outputs = 0, panels = 0;
  std::vector<A> data;

  Index panel_size() const { return taps * depth * width; }

  /// W(output, depth, tap) = w[output·output_step + depth·depth_step + tap_offset[tap]].
  template <class T>
  void pack(const T* w, Index outputs_, Index output_step, Index depth_, Index depth_step, const std::vector<Index>& tap_offset) {
    const int bytes = vector_bytes();
    outputs = outputs_, depth = depth_, taps = Index(tap_offset.size());
    vectors = tile_vectors(outputs, bytes, int(sizeof(A)));
    width = vectors * bytes / Index(sizeof(A));
    panels = (outputs + width - 1) / width;
    data.resize(std::size_t(panels * panel_size()));
    parallel_for(panels, double(panel_size()), [&](Range r) {
      for (Index panel = r.begin; panel < r.end; ++panel) {
        const Index o0 = panel * width, live = std::min(width, outputs - o0);
        for (Index c = 0; c < depth; ++c)
          for (Index t = 0; t < taps; ++t) {
            A* to = data.data() + panel * panel_size() + (t * depth + c) * width;
            const T* from = w + o0 * output_step + c * depth_step + tap_offset[std::size_t(t)];
            for (Index o = 0; o < live; ++o) to[o] = A(from[o * output_step]);
            std::fill(to + live, to + width, A(0));
          }
      }
    });
  }
};

/// The panels [panel_range) of one block of positions.
struct ConvBlock {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(const ConvPanels<A>& w, Range panel_range, const A* const* rows, const Index* target, Index count, T* y, Index pitch,
                                   const A* bias, A* sums) {
    with_tile<A, B>(w.vectors, [&](auto tile) FRAMEGRAD_LAMBDA {
      using Tile = decltype(tile);
      using V = typename Tile::V;
      for (Index panel = panel_range.begin; panel < panel_range.end; ++panel) {
        const A* b = w.data.data() + panel * w.panel_size();
        const Index depth_step = std::min(w.depth, kConvDepth), tap_step = std::max<Index>(1, kConvDepth / std::max<Index>(w.depth, 1));
        bool add = false;
        for (Index t = 0; t < std::max<Index>(w.taps, 1); t += tap_step)
          for (Index c = 0; c < w.depth; c += depth_step, add = true)
            for (Index i = 0; i < count; i += Tile::M)
              Tile::forward_tile(rows + t * kConvBlock + i, kConvBlock, std::min(tap_step, w.taps - t), c, std::min(depth_step, w.depth - c),
                                 b + (t * w.depth + c) * Tile::N, w.depth * Tile::N, sums + i * Tile::N, add);
        const Index o0 = panel * Tile::N, live = std::min<Index>(Tile::N, w.outputs - o0);
        for (Index i = 0; i < count; ++i) {
          T* to = y + target[i] * pitch + o0;
          const A* from = sums + i * Tile::N;
          if (bias) each<V>(live, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(to, l.load(from) + l.load(bias + o0)); });
          else each<V>(live, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(to, l.load(from)); });
        }
      }
    });
  }
};

/// target rows ← bias + Σ taps, for one group. `source` and `target` point at the group's first channel; pitches are whole rows.
template <class A, class T>
void convolve(const ConvGrid& grid, const A* source, Index source_pitch, const ConvPanels<A>& w, const A* bias, T* target, Index target_pitch) {
  const Index positions = grid.positions(), blocks = (positions + kConvBlock - 1) / kConvBlock;
  // Few blocks: share out the panels too. The number of shares does not change any sum.
  const Index shares = std::min<Index>(w.panels, blocks >= 16 ? 1 : (16 + blocks - 1) / std::max<Index>(blocks, 1));
  const std::vector<A> zero(std::size_t(source_pitch), A(0));
  const double cost = double(kConvBlock) * double(w.taps * w.depth * w.width * w.panels) / double(shares) / 30.0;
  parallel_for(blocks * shares, cost, [&](Range r) {
    ConvRows<A> rows;
    std::vector<A> sums(std::size_t(kConvBlock * w.width));
    Index written = -1;
    for (Index task = r.begin; task < r.end; ++task) {
      const Index block = task / shares, share = task % shares, begin = block * kConvBlock;
      const Range at{begin, std::min(positions, begin + kConvBlock)};
      if (block != written) rows.write(grid, at, source, source_pitch, zero.data());
      written = block;
      const Range panels{w.panels * share / shares, w.panels * (share + 1) / shares};
      dispatch<ConvBlock>(w, panels, static_cast<const A* const*>(rows.row.data()), static_cast<const Index*>(rows.target.data()), at.size(), target,
                          target_pitch, bias, sums.data());
    }
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
