// Where convolution finds its numbers: a copy of the source in which every tap is a constant offset.
//
//   target[p] = Σ_taps source[source_step·p + offset[tap]]·W[tap]        p over a grid of positions, per axis
//
// The source is laid out as a lattice of cells, flat over (image, depth, height, width). Between lines, planes and images
// stand cells of zeros, as many as the widest border needs: the gap behind a line is also the one before the next. A step s
// divides the source into phases, the cells ≡ r (mod s), each with a lattice of its own. Then position p of the grid is cell p of the
// lattice, and a tap is (phase, shift): it reads cell p + shift, for all p alike, so that R neighbouring cells are the rows of
// a register tile. A tile may run into a gap; what it computes there is not stored.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include <framegrad/core/shape.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// One axis of the gather: `count` positions p; target index target_begin + target_step·p, source index source_step·p + offset[k]
/// for the tap[k]-th tap.
struct ConvAxis {
  Index count = 1, sources = 1, targets = 1;
  Index source_step = 1, target_begin = 0, target_step = 1;
  std::vector<Index> offset{0}, tap{0};
};

struct ConvGrid {
  Index images = 0;
  std::array<ConvAxis, 3> axis;
  Index first_image = 0;

  Index positions() const { return images * axis[0].count * axis[1].count * axis[2].count; }
  Index taps() const { return Index(axis[0].tap.size() * axis[1].tap.size() * axis[2].tap.size()); }

  /// The same images' positions [begin, end) of an axis, or with axis −1 images [begin, end).
  ConvGrid part(int a, Index begin, Index end) const {
    ConvGrid g = *this;
    if (a < 0) {
      g.first_image += begin, g.images = end - begin;
      return g;
    }
    ConvAxis& x = g.axis[std::size_t(a)];
    x.count = end - begin, x.target_begin += begin * x.target_step;
    for (Index& o : x.offset) o += begin * x.source_step;
    return g;
  }
};

/// Which row of a tensor [images, size…] a cell holds: cells [0, live) of each axis hold indices begin + step·cell, the others nothing.
struct ConvCells {
  std::array<Index, 3> pitch, live, begin, step, size;
  Index images, first_image;

  Index count() const { return images * pitch[0] * pitch[1] * pitch[2]; }

  /// The rows of cells [first, first + n), −1 for none; cells may lie outside of the lattice.
  void rows(Index first, Index n, Index* out) const {
    const Index width = pitch[2];
    for (Index at = 0; at < n;) {
      const Index cell = first + at;
      const bool outside = cell < 0 || cell >= count();
      const Index w = outside ? 0 : cell % width, line = cell / width;
      const Index run = outside ? (cell < 0 ? std::min(n - at, -cell) : n - at) : std::min(n - at, width - w);
      const Index h = line % pitch[1], d = line / pitch[1] % pitch[0], image = line / (pitch[1] * pitch[0]);
      Index i = 0;
      if (!outside && h < live[1] && d < live[0]) {
        const Index row = (((first_image + image) * size[0] + begin[0] + step[0] * d) * size[1] + begin[1] + step[1] * h) * size[2] + begin[2];
        for (const Index end = std::min(run, live[2] - w); i < end; ++i) out[at + i] = row + step[2] * (w + i);
      }
      for (; i < run; ++i) out[at + i] = -1;
      at += run;
    }
  }
};

class ConvLattice {
 public:
  /// A tap reads the cell `shift` behind a position's, of phase `phase`.
  struct Tap { Index phase, shift; };

  std::array<Index, 3> pitch{};
  Index front = 0;                  // cells before the first: taps reach there
  std::vector<std::array<Index, 3>> phases;  // the residue on each axis
  std::vector<Tap> taps;            // in the order of the grid's

  explicit ConvLattice(const ConvGrid& grid) : grid_(grid) {
    std::array<std::vector<Index>, 3> residue, shift;
    for (std::size_t a = 0; a < 3; ++a) {
      const ConvAxis& x = grid.axis[a];
      Index low = 0, high = 0;
      for (const Index o : x.offset) {
        const Index r = (o % x.source_step + x.source_step) % x.source_step, b = (o - r) / x.source_step;
        residue[a].push_back(r), shift[a].push_back(b);
        const bool only = shift[a].size() == 1;
        low = only ? b : std::min(low, b), high = only ? b : std::max(high, b);
      }
      high += x.count - 1;
      const Index cells = (x.sources + x.source_step - 1) / x.source_step;  // of residue 0, which has most
      first_[a] = std::max<Index>(low, 0);
      live_[a] = std::max<Index>(0, std::min(high + 1, cells) - first_[a]);
      const Index left = first_[a] - low, right = std::max<Index>(0, high - first_[a] - live_[a] + 1);
      pitch[a] = std::max(live_[a] + std::max(left, right), x.count);
      front = front * pitch[a] + left;
      for (Index& b : shift[a]) b -= first_[a];
    }
    for (std::size_t d = 0; d < shift[0].size(); ++d)
      for (std::size_t h = 0; h < shift[1].size(); ++h)
        for (std::size_t w = 0; w < shift[2].size(); ++w) {
          const std::array<Index, 3> phase{residue[0][d], residue[1][h], residue[2][w]};
          const auto at = std::find(phases.begin(), phases.end(), phase);
          taps.push_back({Index(at - phases.begin()), (shift[0][d] * pitch[1] + shift[1][h]) * pitch[2] + shift[2][w]});
          if (at == phases.end()) phases.push_back(phase);
        }
  }

  /// Cells of positions, gaps between them included.
  Index positions() const { return targets().count(); }
  /// Cells of one phase, with room for tiles of up to `rows` rows to run over the end.
  Index cells(Index rows) const { return front + positions() + rows; }

  /// Positions are worked on in sections: planes, which only some taps of the depth reach, or if those are small, everything at once.
  /// There are images() · depth() of them, each of section_cells() cells up to its last position.
  struct Section { Index first, tap_begin, tap_end; };  // its first cell; taps of axis 0
  Index images() const { return by_planes() ? grid_.images : 1; }
  Index depth() const { return by_planes() ? grid_.axis[0].count : 1; }
  Index section_cells() const { return by_planes() ? plane_cells() : ((grid_.images - 1) * pitch[0] + grid_.axis[0].count - 1) * pitch[1] * pitch[2] + plane_cells(); }
  Section section(Index image, Index d) const {
    const ConvAxis& x = grid_.axis[0];
    Section s{(image * pitch[0] + d) * pitch[1] * pitch[2], 0, Index(x.offset.size())};
    const auto outside = [&](Index k) {
      const Index at = d * x.source_step + x.offset[std::size_t(k)];
      return at < 0 || at >= x.sources;
    };
    while (by_planes() && s.tap_begin < s.tap_end && outside(s.tap_begin)) ++s.tap_begin;  // offsets rise or fall: those outside stand at the ends
    while (by_planes() && s.tap_begin < s.tap_end && outside(s.tap_end - 1)) --s.tap_end;
    return s;
  }

  /// Source rows of a phase's cells; cell 0 is the first behind the front.
  ConvCells sources(const std::array<Index, 3>& phase) const {
    ConvCells c{pitch, live_, {}, {}, {}, grid_.images, grid_.first_image};
    for (std::size_t a = 0; a < 3; ++a) {
      const ConvAxis& x = grid_.axis[a];
      c.step[a] = x.source_step, c.begin[a] = x.source_step * first_[a] + phase[a], c.size[a] = x.sources;
      const Index left = x.sources - c.begin[a];
      c.live[a] = std::min(live_[a], left <= 0 ? 0 : (left + x.source_step - 1) / x.source_step);
    }
    return c;
  }
  /// Target rows of the positions' cells.
  ConvCells targets() const {
    ConvCells c{pitch, {}, {}, {}, {}, grid_.images, grid_.first_image};
    for (std::size_t a = 0; a < 3; ++a) {
      const ConvAxis& x = grid_.axis[a];
      c.live[a] = x.count, c.begin[a] = x.target_begin, c.step[a] = x.target_step, c.size[a] = x.targets;
    }
    return c;
  }

 private:
  Index plane_cells() const { return (grid_.axis[1].count - 1) * pitch[2] + grid_.axis[2].count; }
  bool by_planes() const { return plane_cells() >= 256; }

  ConvGrid grid_;
  std::array<Index, 3> first_{}, live_{};
};

/// f(part) for parts of the grid whose copies, `bytes` a cell of each phase, stay below a limit, if lines are short enough.
template <class F>
void each_conv_part(const ConvGrid& grid, Index bytes, const F& f) {
  constexpr Index kLimit = Index(16) << 20;  // a processor's share of a third-level cache, and little beside the tensors
  if (grid.positions() == 0) return;
  const ConvLattice lattice(grid);
  int a = grid.images > 1 ? -1 : 0;
  while (a >= 0 && a < 2 && grid.axis[std::size_t(a)].count == 1) ++a;
  if (a == 2 || lattice.positions() * Index(lattice.phases.size()) * bytes <= kLimit) return f(lattice);
  const Index n = a < 0 ? grid.images : grid.axis[std::size_t(a)].count;
  each_conv_part(grid.part(a, 0, n / 2), bytes, f);
  each_conv_part(grid.part(a, n / 2, n), bytes, f);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
