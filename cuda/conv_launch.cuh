// The launchers of convolution: how its axes become a Gather, what is padded, how the work is cut.
#pragma once

#include <framegrad/cuda/conv.hpp>

#include <algorithm>
#include <numeric>

#include "cuda/conv_pack.cuh"
#include "cuda/conv_weight.cuh"
#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

template <class T>
int whole_packs(Index channels) { return int((channels + kVector<T> - 1) / kVector<T>) * kVector<T>; }
Grid over(Index n) { return {dim3(unsigned((n + 255) / 256)), dim3(256)}; }
constexpr Index up(Index a, Index b) { return (a + b - 1) / b; }

Index volume(const ConvSizes& s, Index ConvSizes::Axis::*size) { return s.axis[0].*size * (s.axis[1].*size) * (s.axis[2].*size); }

WeightSteps steps_of(const ConvSizes& s) {
  WeightSteps w{s.weight_out, s.weight_in, {}, {}};
  for (int i = 0; i < 3; ++i) w.axis[i] = s.axis[i].weight_step, w.kernel[i] = int(s.axis[i].kernel);
  return w;
}

/// Rows whose groups begin at, and fill, whole packs: x itself where it has them, else a padded copy in `memory`.
template <class T>
struct PackedRows {
  int depth;
  Scratch memory;
  const T* data;
  PackedRows(const T* x, Index rows, Index channels, Index groups)
      : depth(whole_packs<T>(channels / groups)), memory(fits(x, channels, groups) ? 0 : rows * groups * depth * Index(sizeof(T))), data(x) {
    if (fits(x, channels, groups)) return;
    const Index count = rows * groups * depth;
    launch(pad_rows<T>, over(count), x, memory.template as<T>(), count, int(channels / groups), depth);
    data = memory.template as<T>();
  }
  static bool fits(const T* x, Index channels, Index groups) { return channels / groups % kVector<T> == 0 && aligned16(x); }
};

/// w as [groups, outs, taps, depth].
template <class T>
struct PackedWeights {
  Scratch memory;
  PackedWeights(const ConvSizes& s, const T* w, bool transposed) : memory(count(s, transposed) * Index(sizeof(T))) {
    const Index Og = s.O / s.groups, Cg = s.C / s.groups, outs = transposed ? Cg : Og, ins = transposed ? Og : Cg;
    WeightSteps steps = steps_of(s);
    if (transposed) std::swap(steps.out, steps.in);
    launch(pack_weights<T>, over(count(s, transposed)), w, steps, Og * s.weight_out, memory.template as<T>(), count(s, transposed), int(outs), int(ins),
           int(volume(s, &ConvSizes::Axis::kernel)), whole_packs<T>(ins));
  }
  static Index count(const ConvSizes& s, bool transposed) {
    const Index Og = s.O / s.groups, Cg = s.C / s.groups;
    return s.groups * (transposed ? Cg : Og) * volume(s, &ConvSizes::Axis::kernel) * whole_packs<T>(transposed ? Og : Cg);
  }
};

void check_rows(Index rows) {
  if (rows >= (Index(1) << 31) - kConvRows) throw ShapeError(text("conv: ", rows, " positions; a GPU takes 2^31 of them at most"));
}

Gather forward_gather(const ConvSizes& s) {
  Gather g{};
  const Index rows = s.images * volume(s, &ConvSizes::Axis::out);
  check_rows(rows), check_rows(s.images * volume(s, &ConvSizes::Axis::in));
  g.rows = int(rows), g.dense = true;
  for (int i = 0, inner = int(volume(s, &ConvSizes::Axis::kernel)); i < 3; ++i) {
    const auto& a = s.axis[i];
    inner /= int(a.kernel);
    g.axis[i] = {int(a.out), int(a.in), int(a.stride), -int(a.before), int(a.dilation), int(a.kernel), 0, inner, int(a.out), 0, 1};
  }
  return g;
}

/// What dx at indices ≡ r (mod stride) gathers from dy: the taps k with r + before − k·dilation ≡ 0, each `every`-th one.
GatherAxis residue_axis(const ConvSizes::Axis& a, Index r, int inner) {
  const Index every = a.stride / std::gcd(a.stride, a.dilation);
  const auto reach = [&](Index k) { return r + a.before - k * a.dilation; };
  Index k = 0;
  while (k < a.kernel && reach(k) % a.stride != 0) ++k;
  GatherAxis g{};
  g.positions = r < a.in ? int(up(a.in - r, a.stride)) : 0;
  g.sources = int(a.out), g.step = 1, g.targets = int(a.in), g.target_first = int(r), g.target_step = int(a.stride);
  if (k >= a.kernel) return g;  // cells that no window sees
  g.taps = int(up(a.kernel - k, every));
  g.first = int(reach(k) / a.stride), g.tap_step = -int(every * a.dilation / a.stride);
  g.weight_first = int(k) * inner, g.weight_step = int(every) * inner;
  return g;
}

template <class T, int BN>
void launch_tiles(const Gather& g, Index groups, const T* x, const T* weights, const T* bias, T* y) {
  const Index tiles = up(g.rows, kConvRows) * up(g.outputs, BN);
  const Index depth = up(Index(g.axis[0].taps) * g.axis[1].taps * g.axis[2].taps * g.depth, 4 * kVector<T>);
  // Too few tiles to fill a GPU share their depth: at least 8 tiles of it each, and as many as keep about 256 blocks busy.
  const Index wanted = tiles * groups < 128 ? std::min(up(256, tiles * groups), depth / 8) : 1;
  const Index split_tiles = wanted > 1 ? up(depth, wanted) : std::max<Index>(depth, 1), splits = wanted > 1 ? up(depth, split_tiles) : 1;
  const Scratch partial(splits > 1 ? splits * groups * g.rows * g.outputs * 4 : 0);
  const bool packs = g.outputs % kVector<T> == 0 && aligned16(y);
  const Grid grid{dim3(unsigned(tiles), unsigned(groups), unsigned(splits)), dim3(kConvThreads), std::size_t(kConvStages) * (kConvRows + BN) * 64};
  launch(convolve<T, BN>, grid, g, x, weights, splits > 1 ? nullptr : bias, y, partial.as<float>(), int(split_tiles), packs);
  if (splits > 1) {
    Grid sum = over(Index(g.rows) * g.outputs);
    sum.grid.y = unsigned(groups);
    launch(add_splits<T>, sum, g, int(splits), partial.as<float>(), bias, y);
  }
}

template <class T>
void launch_convolve(const Gather& g, Index groups, const T* x, const T* weights, const T* bias, T* y) {
  if (g.rows == 0 || g.outputs == 0) return;
  if constexpr (!std::is_same_v<T, float>) {  // an f32 tile of 128 columns would need more registers than there are
    if (g.outputs > 64) return launch_tiles<T, 128>(g, groups, x, weights, bias, y);
  }
  launch_tiles<T, 64>(g, groups, x, weights, bias, y);
}

template <class T, int kRows>
void launch_weights(const ConvSizes& s, const Gather& g, const T* x, const T* dy, Index dy_row, Index group_outputs, T* dw) {
  constexpr int P = kVector<T>;
  const Index tiles = up(g.outputs, kRows * P) * up(g.weight_row, kWeightColumns * P);
  const Index count = s.groups * g.outputs * g.weight_row;
  if (count == 0) return;
  // As many chunks as keep about 384 blocks busy, of at least 8 tiles of depth.
  const Index wanted = std::max<Index>(1, std::min<Index>(up(384, tiles * s.groups), g.rows / (8 * kWeightDepth)));
  const Index chunk_rows = up(up(g.rows, wanted), kWeightDepth) * kWeightDepth, chunks = g.rows ? up(g.rows, chunk_rows) : 0;
  const Scratch partial(chunks * count * 4);
  const Grid grid{dim3(unsigned(tiles), unsigned(s.groups), unsigned(chunks)), dim3(kConvThreads), std::size_t(kConvStages) * kWeightDepth * (kRows + kWeightColumns) * 16};
  if (chunks) launch(convolve_weights<T, kRows>, grid, g, x, dy, int(dy_row), int(group_outputs), partial.as<float>(), int(chunk_rows));
  launch(add_weights<T>, over(count), partial.as<float>(), int(chunks), steps_of(s), g.outputs * s.weight_out, dw, count, g.outputs, int(s.C / s.groups),
         int(volume(s, &ConvSizes::Axis::kernel)), g.depth);
}

}  // namespace

template <class T>
void ConvKernels<T>::forward(const ConvSizes& s, const T* x, const T* w, const T* bias, T* y) {
  if (s.images == 0) return;
  const PackedRows<T> rows(x, s.images * volume(s, &ConvSizes::Axis::in), s.C, s.groups);
  const PackedWeights<T> weights(s, w, false);
  Gather g = forward_gather(s);
  g.depth = rows.depth, g.source_row = int(s.groups) * rows.depth, g.outputs = int(s.O / s.groups);
  g.weight_row = int(volume(s, &ConvSizes::Axis::kernel)) * rows.depth;
  launch_convolve<T>(g, s.groups, rows.data, weights.memory.template as<T>(), bias, y);
}

template <class T>
void ConvKernels<T>::data_gradient(const ConvSizes& s, const T* dy, const T* w, T* dx) {
  if (s.images == 0) return;
  const PackedRows<T> rows(dy, s.images * volume(s, &ConvSizes::Axis::out), s.O, s.groups);
  const PackedWeights<T> weights(s, w, true);
  Gather g{};
  g.depth = rows.depth, g.source_row = int(s.groups) * rows.depth, g.outputs = int(s.C / s.groups);
  g.weight_row = int(volume(s, &ConvSizes::Axis::kernel)) * rows.depth;
  const auto& [D, H, W] = s.axis;
  g.dense = D.stride * H.stride * W.stride == 1;
  for (Index d = 0; d < D.stride; ++d)
    for (Index h = 0; h < H.stride; ++h)
      for (Index v = 0; v < W.stride; ++v) {
        g.axis[0] = residue_axis(D, d, int(H.kernel * W.kernel)), g.axis[1] = residue_axis(H, h, int(W.kernel)), g.axis[2] = residue_axis(W, v, 1);
        const Index positions = s.images * g.axis[0].positions * g.axis[1].positions * g.axis[2].positions;
        check_rows(positions);
        g.rows = int(positions);
        launch_convolve<T>(g, s.groups, rows.data, weights.memory.template as<T>(), nullptr, dx);
      }
}

template <class T>
void ConvKernels<T>::weight_gradient(const ConvSizes& s, const T* x, const T* dy, T* dw) {
  const Index positions = s.images * volume(s, &ConvSizes::Axis::out);
  const PackedRows<T> sources(x, s.images * volume(s, &ConvSizes::Axis::in), s.C, s.groups), rows(dy, positions, s.O, s.groups);
  Gather g = forward_gather(s);
  g.depth = sources.depth, g.source_row = int(s.groups) * sources.depth, g.outputs = int(s.O / s.groups);
  g.weight_row = int(volume(s, &ConvSizes::Axis::kernel)) * sources.depth;
  const Index dy_row = s.groups * rows.depth;
  if constexpr (!std::is_same_v<T, float>) {
    if (g.outputs <= 64) return launch_weights<T, 8>(s, g, sources.data, rows.data, dy_row, rows.depth, dw);
  }
  launch_weights<T, 16>(s, g, sources.data, rows.data, dy_row, rows.depth, dw);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
