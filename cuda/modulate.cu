// modulate on a GPU: see ops/modulate.hpp.
//
//   ModulateForward, ModulateBackward   a thread owns a pack of columns and walks rows (column_tiles): what the rows share stays in its registers
//
// Bound by memory: x is read and y written once forward; g and x are read and dx is written once backward.
#include <framegrad/cuda/modulate.hpp>

#include "cuda/row_sums.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <int P_, class T>
struct ModulateForward {
  static constexpr int P = P_;
  const T *x, *shift, *scale;
  T* y;
  Index C;

  struct Shared { float factor[P], added[P]; };
  struct Loaded { Pack<T, P> x; };
  __device__ __forceinline__ Shared begin(Index group, int c) const {
    Shared r;
    const auto s = load_pack<P>(scale + group * C + c), t = load_pack<P>(shift + group * C + c);
#pragma unroll
    for (int j = 0; j < P; ++j) r.factor[j] = 1.0f + to_float(s.v[j]), r.added[j] = to_float(t.v[j]);
    return r;
  }
  __device__ __forceinline__ Loaded load(Index row, int c) const { return {load_pack<P>(x + row * C + c)}; }
  __device__ __forceinline__ void use(Index row, int c, const Shared& s, const Loaded& l, float (&)[P], float (&)[P]) const {
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(to_float(l.x.v[j]) * s.factor[j] + s.added[j]);
    store_pack(y + row * C + c, out);
  }
};

template <int P_, class T>
struct ModulateBackward {
  static constexpr int P = P_;
  const T *x, *scale, *g;  // x null: dscale isn't wanted
  T* dx;                   // null: not wanted
  Index C;

  struct Shared { float factor[P]; };
  struct Loaded { Pack<T, P> x, g; };
  __device__ __forceinline__ Shared begin(Index group, int c) const {
    Shared r;
    const auto s = load_pack<P>(scale + group * C + c);
#pragma unroll
    for (int j = 0; j < P; ++j) r.factor[j] = 1.0f + to_float(s.v[j]);
    return r;
  }
  __device__ __forceinline__ Loaded load(Index row, int c) const {
    Loaded l{};
    if (x) l.x = load_pack<P>(x + row * C + c);
    l.g = load_pack<P>(g + row * C + c);
    return l;
  }
  __device__ __forceinline__ void use(Index row, int c, const Shared& s, const Loaded& l, float (&dscale)[P], float (&dshift)[P]) const {
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float gj = to_float(l.g.v[j]);
      dscale[j] += gj * to_float(l.x.v[j]);
      dshift[j] += gj;
      out.v[j] = from_float<T>(gj * s.factor[j]);
    }
    if (dx) store_pack(dx + row * C + c, out);
  }
};

template <class T>
void ModulateKernels<T>::forward(Index groups, Index rows, Index C, const T* x, const T* shift, const T* scale, T* y) {
  if (groups * rows * C == 0) return;
  check_row(C, "modulate");
  const auto run = [&](auto width) {
    launch_columns<T>(ModulateForward<decltype(width)::value, T>{x, shift, scale, y, C}, groups, rows, C, 0, {}, {});
  };
  if (C % kPack<T> == 0 && aligned16(x, shift, scale, y)) run(std::integral_constant<int, kPack<T>>{});
  else run(std::integral_constant<int, 1>{});
}

template <class T>
void ModulateKernels<T>::backward(Index groups, Index rows, Index C, const T* x, const T* scale, const T* g, T* dx, T* dshift, T* dscale) {
  if (groups * rows * C == 0) {
    clear_sums(groups, C, dshift);
    return clear_sums(groups, C, dscale);
  }
  check_row(C, "modulate");
  const auto run = [&](auto width) {
    launch_columns<T>(ModulateBackward<decltype(width)::value, T>{dscale ? x : nullptr, scale, g, dx, C}, groups, rows, C, dshift ? 2 : dscale ? 1 : 0, {dscale, C, 1},
                      {dshift, C, 1});
  };
  if (C % kPack<T> == 0 && aligned16(x, scale, g, dx)) run(std::integral_constant<int, kPack<T>>{});
  else run(std::integral_constant<int, 1>{});
}

template struct ModulateKernels<float>;
template struct ModulateKernels<bf16>;
template struct ModulateKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
