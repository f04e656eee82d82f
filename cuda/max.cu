// max, min, argmax, argmin on a GPU: see ops/max.hpp.
//
//   extreme_rows   a warp owns a row: each lane the best of its places, then the best of the lanes; of equals the one that stands first
//
// Bound by memory: x is read once. The gradient is zeros with one number a row.
#include <framegrad/core/backend.hpp>
#include <framegrad/cuda/reduce.hpp>

#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kExtremeBlock = 256;

/// Whether (a, i) goes before (b, j): the larger value, a NaN above all, and of equals the smaller place. −1 is no place.
__device__ __forceinline__ bool goes_before(float a, Index i, float b, Index j) {
  if (i < 0 || j < 0) return i >= 0;
  const bool nan_a = a != a, nan_b = b != b;
  if (nan_a != nan_b) return nan_a;
  if (nan_a || a == b) return i < j;
  return a > b;
}

// grid [ceil(rows / warps a block)], block kExtremeBlock
template <class T>
__global__ void extreme_rows(Index rows, Index C, float sign,
                             const T* __restrict__ x,           // [rows, C]
                             T* __restrict__ y,                 // [rows]
                             std::int64_t* __restrict__ index)  // [rows]
{
  const Index row = Index(blockIdx.x) * (kExtremeBlock / 32) + threadIdx.x / 32;
  if (row >= rows) return;  // the whole warp leaves together
  x += row * C;
  float best = 0.0f;
  Index place = -1;
  for (Index c = threadIdx.x % 32; c < C; c += 32) {
    const float v = sign * to_float(x[c]);
    if (goes_before(v, c, best, place)) best = v, place = c;
  }
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(~0u, best, step);
    const Index other_place = Index(__shfl_xor_sync(~0u, (long long)(place), step));
    if (goes_before(other, other_place, best, place)) best = other, place = other_place;
  }
  if (threadIdx.x % 32 == 0) y[row] = x[place], index[row] = place;
}

// grid [ceil(rows / block)], block kExtremeBlock
template <class T>
__global__ void extreme_slope(Index rows, Index C, const T* __restrict__ g, const std::int64_t* __restrict__ index, T* __restrict__ dx) {
  const Index row = Index(blockIdx.x) * kExtremeBlock + threadIdx.x;
  if (row < rows) dx[row * C + index[row]] = g[row];
}

template <class T>
void ExtremeKernels<T>::value(Index rows, Index C, bool smallest, const T* x, T* y, std::int64_t* index) {
  if (rows == 0) return;
  const int a_block = kExtremeBlock / 32;
  launch(extreme_rows<T>, {dim3(unsigned((rows + a_block - 1) / a_block)), dim3(kExtremeBlock)}, rows, C, smallest ? -1.0f : 1.0f, x, y, index);
}
template <class T>
void ExtremeKernels<T>::slope(Index rows, Index C, const T* g, const std::int64_t* index, T* dx) {
  if (rows == 0) return;
  fill_zero(dx, rows * C * Index(sizeof(T)));
  launch(extreme_slope<T>, {dim3(unsigned((rows + kExtremeBlock - 1) / kExtremeBlock)), dim3(kExtremeBlock)}, rows, C, g, index, dx);
}

template struct ExtremeKernels<float>;
template struct ExtremeKernels<bf16>;
template struct ExtremeKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
