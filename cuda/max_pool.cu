// max_pool on a GPU: see ops/max_pool.hpp.
//
//   largest   a thread owns a pack of channels of a window: its largest cell and that cell's number
//   collect   a thread owns a pack of channels of a cell and adds up, in order, the windows in which the cell won
//
// Bound by memory: x in, y and the winners out; backward dy and the winners in, dx out.
#include "cuda/resample.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

// grid [ceil(count / block)], block kCellBlock; count: packs of y
template <int P, class I, class T>
__global__ void largest(Index count, int C, PoolAxis D, PoolAxis H, PoolAxis W, const T* __restrict__ x, T* __restrict__ y, std::int32_t* __restrict__ winner) {
  const Index i = Index(blockIdx.x) * kCellBlock + threadIdx.x;
  if (i >= count) return;
  const CellPlace at = cell_of<P>(I(i), C / P, D.targets, H.targets, W.targets);
  const int d0 = D.first_source(at.d), d1 = D.end_source(at.d), h0 = H.first_source(at.h), h1 = H.end_source(at.h), w0 = W.first_source(at.w), w1 = W.end_source(at.w);
  const int first = (D.cell(at.d, d0) * H.kernel + H.cell(at.h, h0)) * W.kernel + W.cell(at.w, w0);  // padding is half a window at most: there is one
  float best[P];
  int number[P];
#pragma unroll
  for (int j = 0; j < P; ++j) best[j] = -INFINITY, number[j] = first;
  for (int d = d0; d < d1; ++d)
    for (int h = h0; h < h1; ++h)
      for (int w = w0; w < w1; ++w) {
        const int cell = (D.cell(at.d, d) * H.kernel + H.cell(at.h, h)) * W.kernel + W.cell(at.w, w);
        const auto in = load_pack<P>(x + (((at.n * D.sources + d) * H.sources + h) * W.sources + w) * C + at.c);
#pragma unroll
        for (int j = 0; j < P; ++j) {
          const float v = to_float(in.v[j]);
          if (v > best[j] || (v != v && best[j] == best[j])) best[j] = v, number[j] = cell;
        }
      }
  Pack<T, P> out;
#pragma unroll
  for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(best[j]);
  store_pack(y + i * P, out);
  if (!winner) return;
  constexpr int S = P < 4 ? P : 4;
#pragma unroll
  for (int j = 0; j < P; j += S) {
    Pack<std::int32_t, S> part;
#pragma unroll
    for (int k = 0; k < S; ++k) part.v[k] = number[j + k];
    store_pack(winner + i * P + j, part);
  }
}

// grid [ceil(count / block)], block kCellBlock; count: packs of dx
template <int P, class I, class T>
__global__ void collect(Index count, int C, PoolAxis D, PoolAxis H, PoolAxis W, const T* __restrict__ dy, const std::int32_t* __restrict__ winner, T* __restrict__ dx) {
  const Index i = Index(blockIdx.x) * kCellBlock + threadIdx.x;
  if (i >= count) return;
  const CellPlace at = cell_of<P>(I(i), C / P, D.sources, H.sources, W.sources);
  const int d1 = D.end_target(at.d), h0 = H.first_target(at.h), h1 = H.end_target(at.h), w0 = W.first_target(at.w), w1 = W.end_target(at.w);
  constexpr int S = P < 4 ? P : 4;
  float sum[P] = {};
  for (int d = D.first_target(at.d); d < d1; ++d)
    for (int h = h0; h < h1; ++h)
      for (int w = w0; w < w1; ++w) {
        const int cell = (D.cell(d, at.d) * H.kernel + H.cell(h, at.h)) * W.kernel + W.cell(w, at.w);
        const Index place = (((at.n * D.targets + d) * H.targets + h) * W.targets + w) * C + at.c;
        const auto g = load_pack<P>(dy + place);
#pragma unroll
        for (int j = 0; j < P; j += S) {
          const auto won = load_pack<S>(winner + place + j);
#pragma unroll
          for (int k = 0; k < S; ++k) sum[j + k] += won.v[k] == cell ? to_float(g.v[j + k]) : 0.0f;
        }
      }
  Pack<T, P> out;
#pragma unroll
  for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(sum[j]);
  store_pack(dx + i * P, out);
}

Index cells(Index images, int d, int h, int w) { return images * d * h * w; }

}  // namespace

template <class T>
void MaxPoolKernels<T>::value(Index images, Index C, const PoolAxis& d, const PoolAxis& h, const PoolAxis& w, const T* x, T* y, std::int32_t* winner) {
  const Index n = cells(images, d.targets, h.targets, w.targets) * C;
  if (n == 0) return;
  constexpr int P = kPack<T>;
  with_index(n, [&](auto index) {
    using I = decltype(index);
    if (C % P == 0 && aligned16(x, y, winner)) launch(largest<P, I, T>, cell_grid(n / P), n / P, int(C), d, h, w, x, y, winner);
    else launch(largest<1, I, T>, cell_grid(n), n, int(C), d, h, w, x, y, winner);
  });
}
template <class T>
void MaxPoolKernels<T>::slope(Index images, Index C, const PoolAxis& d, const PoolAxis& h, const PoolAxis& w, const T* g, const std::int32_t* winner, T* dx) {
  const Index n = cells(images, d.sources, h.sources, w.sources) * C;
  if (n == 0) return;
  constexpr int P = kPack<T>;
  with_index(n, [&](auto index) {
    using I = decltype(index);
    if (C % P == 0 && aligned16(g, winner, dx)) launch(collect<P, I, T>, cell_grid(n / P), n / P, int(C), d, h, w, g, winner, dx);
    else launch(collect<1, I, T>, cell_grid(n), n, int(C), d, h, w, g, winner, dx);
  });
}

template struct MaxPoolKernels<float>;
template struct MaxPoolKernels<bf16>;
template struct MaxPoolKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
