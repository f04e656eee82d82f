// attention's products by FMA: what a block of 256 threads does with tiles of 64 × 64 in shared memory.
//
// A thread owns 4 × 4 scores: rows 4·ty + i, columns tx + 16·j; and 4 × 4 outputs of each 64 columns: rows 4·ty + i, columns 4·tx + j. So each
// product reads 8 packs of 16 bytes of shared memory for 64 FMA; rows of 68 numbers keep both access patterns free of bank conflicts.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {

inline constexpr int kTile = 64, kPitch = kTile + 4, kThreads = 256;
inline constexpr int kSlab = 2;  // tiles of columns that a block writes: 32 sums a thread leave room for two blocks a multiprocessor
inline constexpr int kTileFloats = kTile * kPitch;

using Square = float[4][4];

__device__ __forceinline__ int tx() { return int(threadIdx.x) % 16; }
__device__ __forceinline__ int ty() { return int(threadIdx.x) / 16; }

__device__ __forceinline__ void clear(Square& x) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) x[i][j] = 0.0f;
}

/// Rows [row0, end) and columns [column0, columns) of a matrix, at most 64 of each → tile; zeros beyond.
template <class T>
__device__ __forceinline__ void stage(float* tile, const T* rows, Index stride, int row0, int end, int column0, int columns) {
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kTile * kTile; i += kThreads) {
    const int r = i / kTile, c = i % kTile;
    const bool inside = row0 + r < end && column0 + c < columns;
    tile[r * kPitch + c] = inside ? to_float(rows[(row0 + r) * stride + column0 + c]) : 0.0f;
  }
}

/// acc[i][j] += Σ_c a[4·ty + i][c]·b[tx + 16·j][c]. Threads whose rows are beyond `rows` do nothing: short sequences leave most of them idle.
__device__ __forceinline__ void add_scores(Square& acc, const float* a, const float* b, int rows, int columns) {
  if (4 * ty() >= rows) return;
  a += 4 * ty() * kPitch, b += tx() * kPitch;
#pragma unroll 1
  for (int c = 0; c < columns; c += 4) {
    Pack<float, 4> x[4], y[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = load_pack<4>(a + i * kPitch + c), y[i] = load_pack<4>(b + 16 * i * kPitch + c);
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) acc[i][j] = fmaf(x[i].v[n], y[j].v[n], acc[i][j]);
  }
}

/// acc[i][j] += Σ_k p[4·ty + i][k]·b[k][4·tx + j]
__device__ __forceinline__ void add_rows(Square& acc, const float* p, const float* b, int rows, int terms) {
  if (4 * ty() >= rows) return;
  p += 4 * ty() * kPitch, b += 4 * tx();
#pragma unroll 1
  for (int k = 0; k < terms; k += 4) {
    Pack<float, 4> x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = load_pack<4>(p + i * kPitch + k);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const auto y = load_pack<4>(b + (k + n) * kPitch);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) acc[i][j] = fmaf(x[i].v[n], y.v[j], acc[i][j]);
    }
  }
}

__device__ __forceinline__ void put(float* tile, const Square& x) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) tile[(4 * ty() + i) * kPitch + tx() + 16 * j] = x[i][j];
}

/// Rows of head_dim numbers as a block walks them.
template <class T>
struct Side {
  const T* data;
  Index stride;
  int end;  // rows from there on count as zeros
};

/// The scores of two sides: rows from row0 of `a` with rows from row0 of `b`. All threads call it; the tiles are free afterwards.
template <class T>
__device__ __forceinline__ void meet(Square& acc, const Side<T>& a, int a0, const Side<T>& b, int b0, int head_dim, float* a_tile, float* b_tile) {
  clear(acc);
  for (int c = 0; c < head_dim; c += kTile) {
    stage(a_tile, a.data, a.stride, a0, a.end, c, head_dim);
    stage(b_tile, b.data, b.stride, b0, b.end, c, head_dim);
    __syncthreads();
    add_scores(acc, a_tile, b_tile, a.end - a0, min(kTile, head_dim - c));
    __syncthreads();
  }
}

/// sum[c] += p·b for the block's columns and `rows` rows. All threads call it, p visible to all; the tile is free afterwards.
template <class T>
__device__ __forceinline__ void spread(Square (&sum)[kSlab], const float* p, int rows, const Side<T>& b, int b0, int column0, int head_dim, float* tile) {
#pragma unroll
  for (int c = 0; c < kSlab; ++c) {
    const int column = column0 + c * kTile;
    if (column >= head_dim) break;  // the whole block
    stage(tile, b.data, b.stride, b0, b.end, column, head_dim);
    __syncthreads();
    add_rows(sum[c], p, tile, rows, min(kTile, b.end - b0));
    __syncthreads();
  }
}

/// Raw scores x and gradients dp of the probabilities of 64 queries × 64 keys → the gradients of the scores: e^(s − lse)·(dp − δ), zeros beyond.
template <class T>
__device__ __forceinline__ void score_gradients(Square& x, const Square& dp, const AttentionInputs<T>& in, const Added<T>& added, const Level* levels, int q0, int k0, int seen) {
  const int N = int(in.queries);
  const bool adds = Added<T>::any(in);
  const float scale = in.scale * kLog2E;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int query = q0 + 4 * ty() + i;
    const Level level = level_of(levels, query, N);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int key = k0 + tx() + 16 * j;
      float t = x[i][j] * scale;
      if (key >= seen) t = unseen();
      else if (adds && query < N) t = added.to(t, query, key);
      x[i][j] = exp2f(t - level.lse) * (dp[i][j] - level.delta);
    }
  }
}

template <class T>
__device__ __forceinline__ void write(const AttentionRows<T>& to, const Sequence& s, const Square (&sum)[kSlab], int row0, int rows, int column0, int head_dim, const float (&factor)[4]) {
  T* data = rows_of(to, s);
#pragma unroll
  for (int c = 0; c < kSlab; ++c)
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = row0 + 4 * ty() + i, column = column0 + c * kTile + 4 * tx() + j;
        if (row < rows && column < head_dim) data[row * to.row + column] = from_float<T>(sum[c][i][j] * factor[i]);
      }
}

constexpr std::size_t tile_bytes(int tiles) { return std::size_t(tiles) * kTileFloats * sizeof(float); }

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
