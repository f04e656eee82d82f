// attention, step 4: a tile at a time, as two products of matrices.
//
// 64 queries meet 64 keys at once: scores = Q·Kᵀ, then probabilities P from them, then O += P·V. Both products are done as gemm's are: 16 × 16 threads, each with 4 × 4
// numbers in registers, four along the depth in one load. A query belongs to 16 lanes now, which find its maximum and its sum by four exchanges, and what was summed
// shrinks once for 64 keys in place of once for each.
//
// P is the left matrix of the second product, so it goes through shared memory: its rows are written and read by the same warp, and __syncwarp is enough.
// 8 loads of 16 bytes for 64 multiply-adds: half of what step 3 asked of shared memory.
#pragma once

#include "bench/ladder/attention/problem.hpp"
#include "bench/ladder/four.cuh"

namespace ladder::attention::two_products {

using namespace fg::cuda;

inline constexpr int kTile = 64, kSide = 16, kOwn = kTile / kSide, kThreads = kSide * kSide;
inline constexpr int kPitch = kHeadDim + 4;   // an odd number of 16 bytes: eight rows lie in different banks
inline constexpr int kPPitch = kTile + 16;    // the two rows that a warp writes at once, too

struct Tiles {
  float q[kTile][kPitch], k[kTile][kPitch], v[kTile][kPitch], p[kTile][kPPitch];
};

/// Rows row0 … of [rows, 64], times `scale`; zeros beyond the last.
__device__ __forceinline__ void copy_rows(float (&tile)[kTile][kPitch], const float* from, int row0, int rows, float scale) {
  for (int i = int(threadIdx.x); i < kTile * kHeadDim / 4; i += kThreads) {
    const int r = i / (kHeadDim / 4), d = i % (kHeadDim / 4) * 4;
    Four v = {};
    if (row0 + r < rows) v = load4(from + Index(row0 + r) * kHeadDim + d);
    for (float& x : v.v) x *= scale;
    store4(&tile[r][d], v);
  }
}

/// Over the 16 lanes that share a row.
__device__ __forceinline__ float row_max(float v) {
  for (int lanes = kSide / 2; lanes > 0; lanes /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, lanes));
  return v;
}
__device__ __forceinline__ float row_sum(float v) {
  for (int lanes = kSide / 2; lanes > 0; lanes /= 2) v += __shfl_xor_sync(~0u, v, lanes);
  return v;
}

// grid [ceil(queries / kTile), sequences], block kThreads, shared: Tiles
__global__ void __launch_bounds__(kThreads) attend(const float* __restrict__ q,  // [sequences, queries, 64]
                                                   const float* __restrict__ k,  // [sequences, keys, 64]
                                                   const float* __restrict__ v,  // [sequences, keys, 64]
                                                   float* __restrict__ y,        // [sequences, queries, 64]
                                                   int queries, int keys, float scale) {
  Tiles& tiles = *dynamic_shared<Tiles>();
  const int column = int(threadIdx.x) % kSide, row = int(threadIdx.x) / kSide, query0 = int(blockIdx.x) * kTile;
  q += Index(blockIdx.y) * queries * kHeadDim;
  k += Index(blockIdx.y) * keys * kHeadDim;
  v += Index(blockIdx.y) * keys * kHeadDim;
  y += Index(blockIdx.y) * queries * kHeadDim;
  copy_rows(tiles.q, q, query0, queries, scale);

  float m[kOwn], l[kOwn];  // of rows row, row + 16, …
  Four o[kOwn] = {};       // of those rows, columns 4·column …
  for (int i = 0; i < kOwn; ++i) m[i] = -INFINITY, l[i] = 0.0f;
  for (int key0 = 0; key0 < keys; key0 += kTile) {
    __syncthreads();  // all have done with the tiles, P's too
    copy_rows(tiles.k, k, key0, keys, 1.0f);
    copy_rows(tiles.v, v, key0, keys, 1.0f);
    __syncthreads();  // they are full

    float s[kOwn][kOwn] = {};  // of keys column, column + 16, …
    for (int d = 0; d < kHeadDim; d += 4) {
      Four right[kOwn];
#pragma unroll
      for (int j = 0; j < kOwn; ++j) right[j] = load4(&tiles.k[column + kSide * j][d]);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const Four left = load4(&tiles.q[row + kSide * i][d]);
#pragma unroll
        for (int j = 0; j < kOwn; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) s[i][j] += left.v[e] * right[j].v[e];
      }
    }

#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      float top = m[i], sum = 0.0f;
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        if (key0 + column + kSide * j >= keys) s[i][j] = -INFINITY;
        top = fmaxf(top, s[i][j]);
      }
      top = row_max(top);
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const float p = expf(s[i][j] - top);
        tiles.p[row + kSide * i][column + kSide * j] = p;
        sum += p;
      }
      const float shrink = expf(m[i] - top);
      m[i] = top;
      l[i] = l[i] * shrink + sum;  // of this lane's keys: all 16 lanes' come together at the end
      for (float& x : o[i].v) x *= shrink;
    }
    __syncwarp();  // the warp's rows of P are written

    for (int key = 0; key < kTile; key += 4) {
      Four right[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) right[e] = load4(&tiles.v[key + e][4 * column]);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const Four left = load4(&tiles.p[row + kSide * i][key]);
#pragma unroll
        for (int e = 0; e < 4; ++e)
#pragma unroll
          for (int j = 0; j < 4; ++j) o[i].v[j] += left.v[e] * right[e].v[j];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const float sum = row_sum(l[i]);
    for (float& x : o[i].v) x /= sum;
    if (query0 + row + kSide * i < queries) store4(y + Index(query0 + row + kSide * i) * kHeadDim + 4 * column, o[i]);
  }
}

inline void run(const Attention& p) {
  launch(attend, Grid{dim3(unsigned(ceil_div(p.queries, kTile)), unsigned(p.sequences)), dim3(kThreads), sizeof(Tiles)}, p.q, p.k, p.v, p.y, p.queries, p.keys, p.scale);
}

}  // namespace ladder::attention::two_products
