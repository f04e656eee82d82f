// Convolution by windows of 3x3 in fewer products: Winograd's filtering F(2x2, 3x3), 16 products where the definition has 36.
//
//   Y = Aᵀ[ Σ_c (G·g·Gᵀ) ⊙ (Bᵀ·d·B) ]A        d 4x4 cells of the source, g 3x3 weights, Y 2x2 targets, for each output
//
//        1  0 −1  0             1   0   0
//   Bᵀ = 0  1  1  0        G =  ½   ½   ½        Aᵀ = 1  1  1  0
//        0 −1  1  0             ½  −½   ½             0  1 −1 −1
//        0  1  0 −1             0   0   1
//
// S. Winograd 1980; for networks A. Lavin and S. Gray 2016 (arXiv:1509.09308), §4.1. The matrices hold no number that isn't exact, and 2x2 is
// the only size whose error stays that of the plain sums; larger ones save more and lose digits. Sums over channels are f32.
//
// A block of windows is worked on from source to target while it lies in the second-level cache: its cells are read where they are, zeros
// beyond the border, and transformed to Bᵀ·d·B in cells of 16 channels; then each of the 16 places is a product of matrices by the tile of
// conv_tile.hpp. Taps of the depth are further steps of the same sum: the transformed cells of a plane are kept for the planes that share it.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/conv_lattice.hpp>
#include <framegrad/cpu/conv_tile.hpp>
#include <framegrad/cpu/gemm.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

inline constexpr Index kPlaces = 16;                        // of a window: cells, and products
inline constexpr Index kWindowBytes = Index(768) << 10;     // of a block's transformed cells
inline constexpr Index kWindowTiles = 4;                    // register tiles that a block has at most

/// Bᵀ·d·B of windows, whose cells are 16 rows of channels each, to [place][block of channels][window][16].
struct WinogradSource {
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(const T* const* cell, Index windows, Index depth, float* to, Index place_step, Index block_step) {
    using V = Vec<float, B>;
    for (Index i = 0; i < windows; ++i, cell += kPlaces)
      for (Index c = 0; c < depth; c += V::lanes) {
        V t[4][4];  // Bᵀ·d
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          const V d0 = load_all<V>(cell[j] + c), d1 = load_all<V>(cell[4 + j] + c), d2 = load_all<V>(cell[8 + j] + c), d3 = load_all<V>(cell[12 + j] + c);
          t[0][j] = d0 - d2, t[1][j] = d1 + d2, t[2][j] = d2 - d1, t[3][j] = d1 - d3;
        }
        float* at = to + c / kCellUnits * block_step + i * kCellUnits + c % kCellUnits;
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r, at += 4 * place_step) {
          store_all(at, t[r][0] - t[r][2]);
          store_all(at + place_step, t[r][1] + t[r][2]);
          store_all(at + 2 * place_step, t[r][2] - t[r][1]);
          store_all(at + 3 * place_step, t[r][1] - t[r][3]);
        }
      }
  }
};

/// G·g·Gᵀ for the outputs of a sliver, g [9][width].
struct WinogradWeights {
  template <int B>
  FRAMEGRAD_INLINE static void run(const float* g, Index width, float* to, Index place_step) {
    using V = Vec<float, B>;
    const V half(0.5f);
    for (Index o = 0; o < width; o += V::lanes) {
      V t[4][3];  // G·g
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        const V g0 = load_all<V>(g + j * width + o), g1 = load_all<V>(g + (3 + j) * width + o), g2 = load_all<V>(g + (6 + j) * width + o), ends = (g0 + g2) * half, middle = g1 * half;
        t[0][j] = g0, t[1][j] = ends + middle, t[2][j] = ends - middle, t[3][j] = g2;
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const V ends = (t[r][0] + t[r][2]) * half, middle = t[r][1] * half;
        float* const at = to + 4 * r * place_step + o;
        store_all(at, t[r][0]), store_all(at + place_step, ends + middle), store_all(at + 2 * place_step, ends - middle), store_all(at + 3 * place_step, t[r][2]);
      }
    }
  }
};

/// A block's products, and Aᵀ[…]A to the rows that `target` names, four a window.
template <class T>
struct WinogradBlock {
  ConvSteps steps;
  const float* source;   // [place][…], as the steps say
  Index place_step;
  const float* weights;  // [sliver][place][step][16][width], from the first step on
  Index sliver_step, width, outputs;
  Index windows;
  const Index* target;
  ConvEpilogue<float, T> epilogue;
  T* y;
  Index pitch;
  float* sums;           // [place][windows, filled up][width]
  Index sums_step;

  template <int B>
  FRAMEGRAD_INLINE static void run(const WinogradBlock& w) {
    constexpr Index R = kCellRows<B>;
    for (Index o = 0; o < w.outputs; o += w.width) {
      const Index live = std::min(w.width, w.outputs - o);
      for (Index place = 0; place < kPlaces; ++place) {
        const float* const right = w.weights + o / w.width * w.sliver_step + place * (w.sliver_step / kPlaces);
        for (Index i = 0; i < w.windows; i += R) {
          const float* const left = w.source + place * w.place_step + i * kCellUnits;
          float* const to = w.sums + place * w.sums_step + i * w.width;
          if (2 * live <= w.width) ConvTile<float, B, R, 1, kCellUnits, 1>::run(w.steps, left, right, to, w.width, false);
          else ConvTile<float, B, R, 2, kCellUnits, 1>::run(w.steps, left, right, to, w.width, false);
        }
      }
      w.store<B>(o, live);
    }
  }

 private:
  template <int B>
  FRAMEGRAD_INLINE void store(Index o, Index live) const {
    using V = Vec<float, B>;
    for (Index i = 0; i < windows; ++i)
      for (Index j = 0; j < live; j += V::lanes) {
        const Lanes<V> l{j};
        const float* const from = sums + i * width + j;
        V t[2][4];  // Aᵀ·m
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          const V m0 = load_all<V>(from + k * sums_step), m1 = load_all<V>(from + (4 + k) * sums_step);
          const V m2 = load_all<V>(from + (8 + k) * sums_step), m3 = load_all<V>(from + (12 + k) * sums_step);
          t[0][k] = m0 + m1 + m2, t[1][k] = m1 - m2 - m3;
        }
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r) {
          const Index* const row = target + 4 * i + 2 * r;
          if (row[0] >= 0) l.store(y + row[0] * pitch + o, epilogue.of(l, t[r][0] + t[r][1] + t[r][2], o, row[0] * pitch));
          if (row[1] >= 0) l.store(y + row[1] * pitch + o, epilogue.of(l, t[r][1] - t[r][2] - t[r][3], o, row[1] * pitch));
        }
      }
  }
};

/// A window of three neighbours that moves by one.
inline bool winograd_axis(const ConvAxis& x) {
  return x.source_step == 1 && x.target_step == 1 && x.offset.size() == 3 && std::abs(x.offset[1] - x.offset[0]) == 1 && x.offset[2] - x.offset[1] == x.offset[1] - x.offset[0];
}

/// Whether to: channels in whole cells; of few the transforms cost more than they save, and so do windows that jut out of small planes. The images'
/// number must not decide.
inline bool winograd_fits(const ConvGrid& grid, Index depth, Index outputs) {
  const Index H = grid.axis[1].count, W = grid.axis[2].count;
  const bool whole_cells = depth > 0 && outputs > 0 && depth % kCellUnits == 0 && outputs % kCellUnits == 0;
  return winograd_axis(grid.axis[1]) && winograd_axis(grid.axis[2]) && whole_cells && H * W >= 64 && 3 * ceil_div(H, 2) * ceil_div(W, 2) <= H * W;
}

/// G·g·Gᵀ in slivers: [sliver][place][tap of the depth][block of channels][channel][width].
template <class T>
ConvBuffer<float> pack_winograd_weights(const ConvGrid& grid, const ConvMatrix<const T>& w, Index width) {
  const Index depth_taps = Index(grid.axis[0].tap.size()), blocks = w.depth / kCellUnits, slivers = ceil_div(w.outputs, width);
  const Index step = kCellUnits * width, place_step = depth_taps * blocks * step;
  const bool down = grid.axis[1].offset[1] < grid.axis[1].offset[0], left = grid.axis[2].offset[1] < grid.axis[2].offset[0];
  ConvBuffer<float> packed(slivers * kPlaces * place_step);
  parallel_for(slivers * depth_taps * blocks, 20 * double(step), [&](Range range) {
    std::vector<float> g(std::size_t(9 * width));
    for (Index i = range.begin; i < range.end; ++i) {
      const Index o = i / (depth_taps * blocks) * width, k = i / blocks % depth_taps, c = i % blocks * kCellUnits, live = std::min(width, w.outputs - o);
      float* const to = packed.data() + i / (depth_taps * blocks) * kPlaces * place_step + (k * blocks + i % blocks) * step;
      for (Index u = 0; u < kCellUnits; ++u) {
        for (Index t = 0; t < 9; ++t) {
          const Index row = down ? 2 - t / 3 : t / 3, column = left ? 2 - t % 3 : t % 3;
          const T* const from = w.data + o * w.output_step + (c + u) * w.depth_step + w.tap_offset[std::size_t(k * 9 + row * 3 + column)];
          for (Index j = 0; j < live; ++j) g[std::size_t(t * width + j)] = float(from[j * w.output_step]);
        }
        dispatch<WinogradWeights>(static_cast<const float*>(g.data()), width, to + u * width, place_step);
      }
    }
  });
  return packed;
}

/// target rows ← epilogue(Σ taps), for one group.
template <class T>
void convolve_winograd(const ConvGrid& grid, const T* source, Index source_pitch, const ConvMatrix<const T>& matrix, const ConvEpilogue<float, T>& epilogue, T* target,
                       Index target_pitch) {
  const ConvAxis &D = grid.axis[0], &H = grid.axis[1], &W = grid.axis[2];
  const Index width = sliver_width<float>(), blocks = matrix.depth / kCellUnits, taps = Index(D.tap.size());
  const ConvBuffer<float> weights = pack_winograd_weights(grid, matrix, width);
  const ConvBuffer<T> nothing(matrix.depth);  // the cells beyond a border
  std::fill(nothing.data(), nothing.data() + matrix.depth, T(0.0f));

  // Planes of the source that a target's taps reach, transformed, lie in a ring.
  const Index ring = *std::max_element(D.offset.begin(), D.offset.end()) - *std::min_element(D.offset.begin(), D.offset.end()) + 1;
  const int bytes = vector_bytes();
  const Index rows = bytes == 64 ? kCellRows<64> : bytes == 32 ? kCellRows<32> : kCellRows<16>;
  const Index columns = ceil_div(W.count, Index(2)), windows = ceil_div(H.count, Index(2)) * columns;
  const Index most = std::clamp<Index>(kWindowBytes / (ring * blocks * kPlaces * kCellUnits * Index(sizeof(float)) * rows), 1, kWindowTiles);
  const Index block = std::min(most, ceil_div(windows, 16 * rows)) * rows, window_blocks = ceil_div(windows, block);
  const Index parts = std::min(D.count, ceil_div(Index(16), grid.images * window_blocks)), tasks = grid.images * window_blocks * parts;
  const Index block_step = block * kCellUnits, place_step = blocks * block_step + kCellUnits, plane_step = kPlaces * place_step;  // a line more: powers of two would meet in the cache
  const Index sums_step = block * width + kCellUnits, low_h = std::min(H.offset[0], H.offset[2]), low_w = std::min(W.offset[0], W.offset[2]);

  parallel_for(tasks, double(block * kPlaces * matrix.depth * matrix.outputs * taps) * double(D.count) / double(parts) / 30, [&](Range range) {
    struct Scratch;
    float* const cells = static_cast<float*>(gemm_scratch<Scratch>((ring * plane_step + kPlaces * sums_step) * Index(sizeof(float))));
    std::vector<const T*> cell(std::size_t(block * kPlaces));
    std::vector<Index> row(std::size_t(4 * block)), held(static_cast<std::size_t>(ring));
    std::vector<ConvStep> steps;
    for (Index task = range.begin; task < range.end; ++task) {
      const Index part = task % parts, first = task / parts % window_blocks * block, image = grid.first_image + task / (parts * window_blocks);
      const Index count = std::min(block, windows - first), filled = round_up(count, rows);
      std::fill(held.begin(), held.end(), -1);
      for (Index d = D.count * part / parts; d < D.count * (part + 1) / parts; ++d) {
        Index first_tap = taps;
        steps.clear();
        for (Index k = 0; k < taps; ++k) {
          const Index plane = d * D.source_step + D.offset[std::size_t(k)];
          if (plane < 0 || plane >= D.sources) continue;
          float* const to = cells + plane % ring * plane_step;
          if (held[std::size_t(plane % ring)] != plane) {
            held[std::size_t(plane % ring)] = plane;
            const T* const from = source + (image * D.sources + plane) * H.sources * W.sources * source_pitch;
            for (Index i = 0; i < filled; ++i) {
              const Index h = (first + i) / columns * 2 + low_h, v = (first + i) % columns * 2 + low_w;
              for (Index r = h; r < h + 4; ++r)
                for (Index c = v; c < v + 4; ++c) {
                  const bool inside = i < count && r >= 0 && r < H.sources && c >= 0 && c < W.sources;
                  cell[std::size_t(i * kPlaces + (r - h) * 4 + c - v)] = inside ? from + (r * W.sources + c) * source_pitch : nothing.data();
                }
            }
            dispatch<WinogradSource>(static_cast<const T* const*>(cell.data()), filled, matrix.depth, to, place_step, block_step);
          }
          first_tap = std::min(first_tap, k);
          for (Index b = 0; b < blocks; ++b) steps.push_back({to - cells + b * block_step, kCellUnits});
        }
        const Index base = (image * D.targets + D.target_begin + D.target_step * d) * H.targets;
        for (Index i = 0; i < count; ++i) {
          const Index h = (first + i) / columns * 2, v = (first + i) % columns * 2;
          for (Index k = 0; k < 4; ++k)
            row[std::size_t(4 * i + k)] = h + k / 2 < H.count && v + k % 2 < W.count ? (base + H.target_begin + h + k / 2) * W.targets + W.target_begin + v + k % 2 : -1;
        }
        dispatch<WinogradBlock<T>>(WinogradBlock<T>{{steps.data(), Index(steps.size())},
                                                    cells,
                                                    place_step,
                                                    weights.data() + first_tap * blocks * kCellUnits * width,
                                                    kPlaces * taps * blocks * kCellUnits * width,
                                                    width,
                                                    matrix.outputs,
                                                    count,
                                                    row.data(),
                                                    epilogue,
                                                    target,
                                                    target_pitch,
                                                    cells + ring * plane_step,
                                                    sums_step});
      }
    }
  });
}

}  // namespace detail

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
