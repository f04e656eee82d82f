// Mean and variance for group_norm: pieces, and how they are joined. See cuda/group_norm.cuh; a unit is a group of a sample.
#pragma once

#include "cuda/row_sums.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Of `count` numbers: their mean, and the sum of squares about it.
struct Moments {
  float count, mean, squares;
};
__device__ __forceinline__ Moments joined(Moments a, Moments b) {
  const float all = a.count + b.count;
  if (all == 0.0f) return a;
  const float delta = b.mean - a.mean, part = b.count / all;
  return {all, a.mean + delta * part, a.squares + b.squares + delta * delta * (a.count * part)};
}

inline constexpr int kGroupPacks = 4;
/// Numbers of a piece of plane_moments: what a block of 256 holds in registers.
template <int P> inline constexpr Index kPiece = Index(256) * kGroupPacks * P;

// grid [units · pieces], block 256; moments [units, pieces]
template <int P, class T>
__global__ void __launch_bounds__(256, 2) plane_moments(const T* __restrict__ x,  // [units, L]
                                                     Moments* __restrict__ moments, Index L, Index pieces) {
  const Index unit = Index(blockIdx.x) / pieces, begin = Index(blockIdx.x) % pieces * kPiece<P>;
  const int n = int(begin + kPiece<P> < L ? kPiece<P> : L - begin);
  Team<0> team;
  Held<T, P, kGroupPacks> held;
  held.template load<0>(x + unit * L + begin, n);
  float sum = 0.0f, squares = 0.0f;
  each_pack<0, P, kGroupPacks>(n, [&](int i, int c) {
    const auto in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) sum += to_float(in.v[j]);
  });
  const float mean = team.sum(sum) / float(n);
  each_pack<0, P, kGroupPacks>(n, [&](int i, int c) {
    const auto in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float d = to_float(in.v[j]) - mean;
      squares += d * d;
    }
  });
  squares = team.sum(squares);
  if (threadIdx.x == 0) moments[blockIdx.x] = {float(n), mean, squares};
}

// grid [N · chunks, ceil(C / (16·P))], block [16, 16]; moments [N, chunks, C]. Squares are summed about the first row that a thread sees, a number of the
// column's own size, and then brought to the mean.
template <int P, class T>
__global__ void __launch_bounds__(kTilePacks * kTileRows, 2) column_moments(const T* __restrict__ x,  // [N, S, C]
                                                                         Moments* __restrict__ moments, Index S, Index chunks, Index chunk, int C) {
  __shared__ Moments cells[kTileRows][kTilePacks * P];
  const int c = (int(blockIdx.y) * kTilePacks + int(threadIdx.x)) * P;
  const Index sample = Index(blockIdx.x) / chunks, begin = Index(blockIdx.x) % chunks * chunk, end = begin + chunk < S ? begin + chunk : S;
  Moments own[P] = {};
  if (Index row = begin + threadIdx.y; c < C && row < end) {
    const T* at = x + (sample * S + row) * C + c;
    const auto first = load_pack<P>(at);
    float sum[P] = {}, squares[P] = {}, count = 1.0f;
    for (row += kTileRows, at += Index(kTileRows) * C; row < end; row += kTileRows, at += Index(kTileRows) * C) {
      const auto in = load_pack<P>(at);
      count += 1.0f;
#pragma unroll
      for (int j = 0; j < P; ++j) {
        const float d = to_float(in.v[j]) - to_float(first.v[j]);
        sum[j] += d, squares[j] += d * d;
      }
    }
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float mean = sum[j] / count;
      own[j] = {count, to_float(first.v[j]) + mean, fmaxf(squares[j] - sum[j] * mean, 0.0f)};
    }
  }
#pragma unroll
  for (int j = 0; j < P; ++j) cells[threadIdx.y][j * kTilePacks + threadIdx.x] = own[j];
  __syncthreads();
  for (int i = int(threadIdx.y) * kTilePacks + int(threadIdx.x); i < kTilePacks * P; i += kTileRows * kTilePacks) {
    const int column = (int(blockIdx.y) * kTilePacks + i % kTilePacks) * P + i / kTilePacks;
    if (column >= C) continue;
    Moments m = cells[0][i];
#pragma unroll
    for (int k = 1; k < kTileRows; ++k) m = joined(m, cells[k][i]);
    moments[Index(blockIdx.x) * C + column] = m;
  }
}

inline constexpr int kJoinBlock = 128;

// grid [units], block kJoinBlock. A unit's pieces: `runs` runs of `width` neighbours, `step` apart; the first of unit (n, g) lies at n·sample + g·width.
static __global__ void join_moments(const Moments* __restrict__ moments, float* __restrict__ mean, float* __restrict__ rstd, Index groups, Index sample, Index width, Index step,
                             Index runs, float eps) {
  __shared__ Moments cells[kJoinBlock / 32];
  const Index unit = blockIdx.x;
  const Moments* from = moments + unit / groups * sample + unit % groups * width;
  Moments m{};
#pragma unroll 4
  for (Index i = threadIdx.x; i < runs * width; i += kJoinBlock) {
    const Index run = group_of(i, width);
    m = joined(m, from[run * step + i - run * width]);
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const Moments other{__shfl_xor_sync(~0u, m.count, lanes), __shfl_xor_sync(~0u, m.mean, lanes), __shfl_xor_sync(~0u, m.squares, lanes)};
    m = joined(m, other);
  }
  if (threadIdx.x % 32 == 0) cells[threadIdx.x / 32] = m;
  __syncthreads();
  if (threadIdx.x) return;
#pragma unroll
  for (int w = 1; w < kJoinBlock / 32; ++w) m = joined(m, cells[w]);
  mean[unit] = m.mean;
  rstd[unit] = 1.0f / sqrtf(m.squares / m.count + eps);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
