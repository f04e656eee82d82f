// Sums and maxima over a warp and over a block. The order of additions is fixed: the same bits each time.
//
//   warp_sum, warp_max     all 32 lanes come; all get the result: log2(32) exchanges
//   block_sum, block_max   all threads of the block come, a multiple of 32 of them; all get the result: two barriers
#pragma once

#include "cuda/launch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kWarp = 32;

template <class T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v += __shfl_xor_sync(~0u, v, lanes);
  return v;
}
template <class T>
__device__ __forceinline__ T warp_max(T v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v = max(v, __shfl_xor_sync(~0u, v, lanes));
  return v;
}

namespace detail {
// Every warp reduces its values, then every warp reduces the warps' results: no third barrier to hand the result out.
template <int N, class T, class Reduce>
__device__ __forceinline__ void block_reduce(T (&v)[N], T neutral, Reduce reduce) {
  __shared__ T partial[N][kWarp];
  const int thread = int(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  const int lane = thread % kWarp, warps = int(blockDim.x * blockDim.y * blockDim.z) / kWarp;
  for (int i = 0; i < N; ++i) v[i] = reduce(v[i]);
  __syncthreads();  // the results of an earlier call have been read
  if (lane == 0) {
    for (int i = 0; i < N; ++i) partial[i][thread / kWarp] = v[i];
  }
  __syncthreads();
  for (int i = 0; i < N; ++i) v[i] = reduce(lane < warps ? partial[i][lane] : neutral);
}
}  // namespace detail

/// N sums at the price of one pair of barriers: v[i] becomes the sum of all threads' v[i].
template <int N, class T>
__device__ __forceinline__ void block_sums(T (&v)[N]) {
  detail::block_reduce(v, T(0), [](T x) { return warp_sum(x); });
}
template <class T>
__device__ __forceinline__ T block_sum(T v) {
  T one[1] = {v};
  block_sums(one);
  return one[0];
}
template <class T>
__device__ __forceinline__ T block_max(T v) {
  T one[1] = {v};
  detail::block_reduce(one, v, [](T x) { return warp_max(x); });  // a lane's own value is neutral: it is a part of the maximum
  return one[0];
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
