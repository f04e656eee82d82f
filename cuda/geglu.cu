// geglu on a GPU: see ops/geglu.hpp.
//
// A thread owns a pack of P columns of a row: of the values, the gates and the result. Bound by memory: x is read and y written once forward; x and g
// are read and dx is written once backward.
#include <framegrad/cuda/geglu.hpp>
#include <framegrad/ops/formula/gelu.hpp>

#include "cuda/number.cuh"
#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

namespace {
constexpr int kGegluBlock = 256;

/// The thread's row and first column, of `packs` packs a row.
template <class I>
__device__ __forceinline__ bool own_pack(Index rows, Index packs, int P, Index& row, Index& c) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rows * packs) return false;
  const I r = I(i) / I(packs);  // I: int where it fits, since a 64-bit division costs a hundred instructions
  row = r, c = (i - Index(r) * packs) * P;
  return true;
}
}  // namespace

// grid [ceil(rows·C / P / block)], block kGegluBlock
template <int P, class I, class T>
__global__ void geglu_forward(Index rows, Index C, const T* __restrict__ x, T* __restrict__ y) {
  Index row, c;
  if (!own_pack<I>(rows, C / P, P, row, c)) return;
  const auto a = load_pack<P>(x + row * 2 * C + c), b = load_pack<P>(x + row * 2 * C + C + c);
  Pack<T, P> out;
#pragma unroll
  for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(to_float(a.v[j]) * formula::Gelu::value(Number(to_float(b.v[j]))).v);
  store_pack(y + row * C + c, out);
}
template <int P, class I, class T>
__global__ void geglu_backward(Index rows, Index C, const T* __restrict__ x, const T* __restrict__ g, T* __restrict__ dx) {
  Index row, c;
  if (!own_pack<I>(rows, C / P, P, row, c)) return;
  const Index at = row * 2 * C + c;
  const auto a = load_pack<P>(x + at), b = load_pack<P>(x + at + C), up = load_pack<P>(g + row * C + c);
  Pack<T, P> da, db;
#pragma unroll
  for (int j = 0; j < P; ++j) {
    const Number gate(to_float(b.v[j]));
    const float gj = to_float(up.v[j]);
    da.v[j] = from_float<T>(gj * formula::Gelu::value(gate).v);
    db.v[j] = from_float<T>(gj * to_float(a.v[j]) * formula::Gelu::slope(gate).v);
  }
  store_pack(dx + at, da);
  store_pack(dx + at + C, db);
}

namespace {
/// run(width of a pack, type of an index)
template <class T, class F>
void by_packs(Index rows, Index C, bool aligned, F&& run) {
  if (rows * C == 0) return;
  const auto of_width = [&](auto width) {
    const Index threads = rows * C / width;
    const Grid grid{dim3(unsigned((threads + kGegluBlock - 1) / kGegluBlock)), dim3(kGegluBlock)};
    if (threads < (Index(1) << 31)) run(grid, width, int());
    else run(grid, width, Index());
  };
  if (aligned && C % kPack<T> == 0) of_width(std::integral_constant<int, kPack<T>>{});
  else of_width(std::integral_constant<int, 1>{});
}
}  // namespace

template <class T>
void GegluKernels<T>::forward(Index rows, Index C, const T* x, T* y) {
  by_packs<T>(rows, C, aligned16(x, y), [&](const Grid& grid, auto width, auto index) {
    launch(geglu_forward<decltype(width)::value, decltype(index), T>, grid, rows, C, x, y);
  });
}
template <class T>
void GegluKernels<T>::backward(Index rows, Index C, const T* x, const T* g, T* dx) {
  by_packs<T>(rows, C, aligned16(x, g, dx), [&](const Grid& grid, auto width, auto index) {
    launch(geglu_backward<decltype(width)::value, decltype(index), T>, grid, rows, C, x, g, dx);
  });
}

template struct GegluKernels<float>;
template struct GegluKernels<bf16>;
template struct GegluKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
