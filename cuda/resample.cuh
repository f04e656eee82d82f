// Linear resampling of channels-last rows: upsampling, interpolation, average pooling, and their gradients, which are the same sums the other way.
//
//   gather   a thread owns 16 bytes of channels of a cell and adds what the cell takes, in order
//
// Bound by memory: x is read once, its repetitions from the caches, and y written once. The gradient is gathered too, so that no two threads add to
// one cell.
#pragma once

#include <framegrad/cuda/resample.hpp>

#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kCellBlock = 256;

/// What a thread owns: channels [c, c + P) of cell (n, d, h, w).
struct CellPlace {
  Index n;
  int d, h, w, c;
};
// I: int where all sizes fit, since a 64-bit division costs a hundred instructions.
template <int P, class I>
__device__ __forceinline__ CellPlace cell_of(I i, int packs, int D, int H, int W) {
  CellPlace p;
  p.c = int(i % packs) * P, i /= packs;
  p.w = int(i % W), i /= W;
  p.h = int(i % H), i /= H;
  p.d = int(i % D), i /= D;
  p.n = i;
  return p;
}

/// An axis seen from its targets, or (backward) from its sources.
template <bool back, class Axis>
struct Side {
  const Axis& a;
  __device__ __forceinline__ int own() const { return back ? a.sources : a.targets; }
  __device__ __forceinline__ int others() const { return back ? a.targets : a.sources; }
  __device__ __forceinline__ int first(int i) const { return back ? a.first_target(i) : a.first_source(i); }
  __device__ __forceinline__ int end(int i) const { return back ? a.end_target(i) : a.end_source(i); }
  __device__ __forceinline__ float weight(int i, int other) const { return back ? a.weight(other, i) : a.weight(i, other); }
};

// grid [ceil(count / block)], block kCellBlock; count: packs of y
template <int P, bool back, class I, class Axis, class T>
__global__ void gather(Index count, int C, Axis d, Axis h, Axis w, const T* __restrict__ x, T* __restrict__ y) {
  const Index i = Index(blockIdx.x) * kCellBlock + threadIdx.x;
  if (i >= count) return;
  const Side<back, Axis> D{d}, H{h}, W{w};
  const CellPlace at = cell_of<P>(I(i), C / P, D.own(), H.own(), W.own());
  const int d1 = D.end(at.d), h0 = H.first(at.h), h1 = H.end(at.h), w0 = W.first(at.w), w1 = W.end(at.w);
  float sum[P] = {};
  for (int a = D.first(at.d); a < d1; ++a) {
    const float wd = D.weight(at.d, a);
    for (int b = h0; b < h1; ++b) {
      const float wh = wd * H.weight(at.h, b);
      const T* const line = x + ((at.n * D.others() + a) * H.others() + b) * W.others() * C + at.c;
      for (int e = w0; e < w1; ++e) {
        const float weight = wh * W.weight(at.w, e);
        const auto v = load_pack<P>(line + Index(e) * C);
#pragma unroll
        for (int j = 0; j < P; ++j) sum[j] += weight * to_float(v.v[j]);
      }
    }
  }
  Pack<T, P> out;
#pragma unroll
  for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(sum[j]);
  store_pack(y + i * P, out);
}

inline Grid cell_grid(Index count) { return {dim3(unsigned((count + kCellBlock - 1) / kCellBlock)), dim3(kCellBlock)}; }

/// f of the type that indices of n elements need.
template <class F>
void with_index(Index n, F&& f) {
  if (n < (Index(1) << 31)) f(int());
  else f(Index());
}

template <bool back, class Axis, class T>
void launch_gather(Index images, Index C, const Axis& d, const Axis& h, const Axis& w, const T* x, T* y) {
  const Index elements = images * C * (back ? Index(d.sources) * h.sources * w.sources : Index(d.targets) * h.targets * w.targets);
  if (elements == 0) return;
  constexpr int P = kPack<T>;
  with_index(elements, [&](auto index) {
    using I = decltype(index);
    if (C % P == 0 && aligned16(x, y)) launch(gather<P, back, I, Axis, T>, cell_grid(elements / P), elements / P, int(C), d, h, w, x, y);
    else launch(gather<1, back, I, Axis, T>, cell_grid(elements), elements, int(C), d, h, w, x, y);
  });
}

template <class T, class Axis>
void ResampleKernels<T, Axis>::value(Index images, Index C, const Axis& d, const Axis& h, const Axis& w, const T* x, T* y) {
  launch_gather<false>(images, C, d, h, w, x, y);
}
template <class T, class Axis>
void ResampleKernels<T, Axis>::slope(Index images, Index C, const Axis& d, const Axis& h, const Axis& w, const T* g, T* dx) {
  launch_gather<true>(images, C, d, h, w, g, dx);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
