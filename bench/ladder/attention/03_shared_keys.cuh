// attention, step 3: a block shares the keys.
//
// 128 queries walk the keys together: the block copies 32 of them with their values into shared memory, all threads use them, and then come the next 32. K and V
// are fetched once for 128 queries, where it was once for the 32 of a warp.
//
// The walk is step 2's. All lanes read the same 16 bytes of shared memory, which is one pass a quarter warp without a conflict; but still a number is
// read from there for each multiply-add, by threads whose registers are full of q and o.
#pragma once

#include "bench/ladder/attention/02_online_softmax.cuh"

namespace ladder::attention::shared_keys {

using online_softmax::kFours, online_softmax::load_query, online_softmax::Sums;
using namespace fg::cuda;

inline constexpr int kThreads = 128, kKeys = 32;

// grid [ceil(queries / kThreads), sequences], block kThreads
__global__ void __launch_bounds__(kThreads) attend(const float* __restrict__ q,  // [sequences, queries, 64]
                                                   const float* __restrict__ k,  // [sequences, keys, 64]
                                                   const float* __restrict__ v,  // [sequences, keys, 64]
                                                   float* __restrict__ y,        // [sequences, queries, 64]
                                                   int queries, int keys, float scale) {
  __shared__ __align__(16) float shared_k[kKeys][kHeadDim], shared_v[kKeys][kHeadDim];
  const int query = int(blockIdx.x) * kThreads + int(threadIdx.x);
  const Index row = (Index(blockIdx.y) * queries + min(query, queries - 1)) * kHeadDim;  // a thread without a query goes along: it has keys to copy
  k += Index(blockIdx.y) * keys * kHeadDim;
  v += Index(blockIdx.y) * keys * kHeadDim;
  Four own[kFours];
  load_query(own, q + row, scale);
  Sums sums;
  for (int key0 = 0; key0 < keys; key0 += kKeys) {
    const int here = min(kKeys, keys - key0);
    __syncthreads();  // all have done with the tiles
    for (int i = int(threadIdx.x); i < here * kFours; i += kThreads) {
      store4(&shared_k[0][0] + 4 * i, load4(k + Index(key0) * kHeadDim + 4 * i));
      store4(&shared_v[0][0] + 4 * i, load4(v + Index(key0) * kHeadDim + 4 * i));
    }
    __syncthreads();  // the tiles are full
    for (int key = 0; key < here; ++key) sums.add(own, shared_k[key], shared_v[key]);
  }
  if (query < queries) sums.write(y + row);
}

inline void run(const Attention& p) {
  launch(attend, Grid{dim3(unsigned(ceil_div(p.queries, kThreads)), unsigned(p.sequences)), dim3(kThreads)}, p.q, p.k, p.v, p.y, p.queries, p.keys, p.scale);
}

}  // namespace ladder::attention::shared_keys
