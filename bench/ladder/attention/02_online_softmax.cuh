// attention, step 2: the softmax is taken on the way, and the scores are never written (Milakov & Gimelshein 2018, arXiv:1805.02867).
//
// A thread owns a query and walks the keys. It keeps the largest score so far, m, the sum l of exp(s − m) and the sum o of exp(s − m)·v. A score above m
// makes m grow; what was summed so far then shrinks by exp(m_before − m). At the end y = o / l. One pass, and a buffer of nothing.
//
// q and o are 128 registers. All lanes of a warp read the same key, so a load is one sector; but each warp walks all of K and V by itself, and there are
// only as many threads as queries.
#pragma once

#include "bench/ladder/attention/problem.hpp"
#include "bench/ladder/four.cuh"

namespace ladder::attention::online_softmax {

using namespace fg::cuda;

inline constexpr int kThreads = 64, kFours = kHeadDim / 4;

/// What a query has seen so far.
struct Sums {
  float m = -INFINITY, l = 0.0f;
  Four o[kFours] = {};

  /// One key more.
  __device__ __forceinline__ void add(const Four (&q)[kFours], const float* k, const float* v) {
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
      const Four part = load4(k + 4 * i);
#pragma unroll
      for (int j = 0; j < 4; ++j) s += q[i].v[j] * part.v[j];
    }
    const float top = fmaxf(m, s), shrink = expf(m - top), p = expf(s - top);
    m = top;
    l = l * shrink + p;
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
      const Four part = load4(v + 4 * i);
#pragma unroll
      for (int j = 0; j < 4; ++j) o[i].v[j] = o[i].v[j] * shrink + p * part.v[j];
    }
  }
  __device__ __forceinline__ void write(float* y) const {
#pragma unroll
    for (int i = 0; i < kFours; ++i) store4(y + 4 * i, {o[i].v[0] / l, o[i].v[1] / l, o[i].v[2] / l, o[i].v[3] / l});
  }
};

/// The scale goes into q once, not into each score.
__device__ __forceinline__ void load_query(Four (&q)[kFours], const float* from, float scale) {
#pragma unroll
  for (int i = 0; i < kFours; ++i) {
    q[i] = load4(from + 4 * i);
#pragma unroll
    for (int j = 0; j < 4; ++j) q[i].v[j] *= scale;
  }
}

// grid [ceil(queries / kThreads), sequences], block kThreads
__global__ void __launch_bounds__(kThreads) attend(const float* __restrict__ q,  // [sequences, queries, 64]
                                                   const float* __restrict__ k,  // [sequences, keys, 64]
                                                   const float* __restrict__ v,  // [sequences, keys, 64]
                                                   float* __restrict__ y,        // [sequences, queries, 64]
                                                   int queries, int keys, float scale) {
  const int query = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (query >= queries) return;
  const Index row = (Index(blockIdx.y) * queries + query) * kHeadDim, first = Index(blockIdx.y) * keys * kHeadDim;
  Four own[kFours];
  load_query(own, q + row, scale);
  Sums sums;
  for (int key = 0; key < keys; ++key) sums.add(own, k + first + Index(key) * kHeadDim, v + first + Index(key) * kHeadDim);
  sums.write(y + row);
}

inline void run(const Attention& p) {
  launch(attend, Grid{dim3(unsigned(ceil_div(p.queries, kThreads)), unsigned(p.sequences)), dim3(kThreads)}, p.q, p.k, p.v, p.y, p.queries, p.keys, p.scale);
}

}  // namespace ladder::attention::online_softmax
