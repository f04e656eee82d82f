// attention, step 5: bf16 on tensor cores, the keys in flight (FlashAttention-2: Dao 2023, arXiv:2307.08691, algorithm 1).
//
// A warp owns 16 queries, and 64 keys meet them at once. The accumulator of Q·Kᵀ has its numbers in just those lanes where mma.sync wants its left operand: rounded to
// bf16 and packed in pairs, the probabilities go from the first product into the second without leaving their registers, and step 4's tile of P is gone. A row's
// numbers lie in four lanes: two exchanges find its maximum. exp is exp2 of a score that was scaled by log2 e.
//
// K and V come by cp.async into two tiles in turns. Their rows have 72 numbers, an odd number of 16 bytes, so that eight rows lie in different banks.
//
// From here on: cuda/attention_forward.cuh gives a warp 32 queries where registers allow (half of the reads of K and V), takes any head_dim up to 256, key lengths,
// bias and masks, and writes y through shared memory.
#pragma once

#include "bench/ladder/attention/problem.hpp"
#include "cuda/vector.cuh"

namespace ladder::attention::tensor_cores {

using namespace fg::cuda;

inline constexpr int kThreads = 128, kQueries = 64, kKeys = 64, kPiece = kPack<bf16>, kPitch = kHeadDim + kPiece;
inline constexpr int kSteps = kHeadDim / 16, kScores = kKeys / 8, kColumns = kHeadDim / 8;

/// Rows row0 … row0 + 63 of [rows, 64]; zeros beyond the last. Not yet committed.
__device__ __forceinline__ void fetch_rows(bf16 (&tile)[kQueries][kPitch], const bf16* from, int row0, int rows) {
  for (int i = int(threadIdx.x); i < kQueries * kHeadDim / kPiece; i += kThreads) {
    const int r = i / (kHeadDim / kPiece), d = i % (kHeadDim / kPiece) * kPiece;
    const bool in = row0 + r < rows;
    cp_async<16>(&tile[r][d], in ? from + Index(row0 + r) * kHeadDim + d : from, in ? 16 : 0);
  }
}

// grid [ceil(queries / kQueries), sequences], block kThreads
__global__ void __launch_bounds__(kThreads) attend(const bf16* __restrict__ q,  // [sequences, queries, 64]
                                                   const bf16* __restrict__ k,  // [sequences, keys, 64]
                                                   const bf16* __restrict__ v,  // [sequences, keys, 64]
                                                   float* __restrict__ y,       // [sequences, queries, 64]
                                                   int queries, int keys, float scale) {
  static_assert(kQueries == kKeys);
  __shared__ __align__(16) bf16 shared_q[kQueries][kPitch], shared_k[2][kKeys][kPitch], shared_v[2][kKeys][kPitch];
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, query0 = int(blockIdx.x) * kQueries;
  q += Index(blockIdx.y) * queries * kHeadDim;
  k += Index(blockIdx.y) * keys * kHeadDim;
  v += Index(blockIdx.y) * keys * kHeadDim;
  y += Index(blockIdx.y) * queries * kHeadDim;
  const auto fetch = [&](int key0, int stage) {
    fetch_rows(shared_k[stage], k, key0, keys);
    fetch_rows(shared_v[stage], v, key0, keys);
    cp_async_commit();
  };
  fetch_rows(shared_q, q, query0, queries);
  fetch(0, 0);

  unsigned left[kSteps][4];                                // the warp's 16 queries
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {};          // of rows lane / 4 and lane / 4 + 8
  float o[kColumns][4] = {};
  for (int key0 = 0, stage = 0; key0 < keys; key0 += kKeys, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all have done with the other one
    if (key0 + kKeys < keys) fetch(key0 + kKeys, stage ^ 1);
    if (key0 == 0) {
#pragma unroll
      for (int d = 0; d < kSteps; ++d) ldmatrix_x4(left[d], &shared_q[16 * warp + lane % 16][16 * d + lane / 16 * 8]);
    }

    float s[kScores][4] = {};
#pragma unroll
    for (int d = 0; d < kSteps; ++d)
#pragma unroll
      for (int n = 0; n < kScores; n += 2) {
        unsigned right[4];
        ldmatrix_x4(right, &shared_k[stage][8 * n + lane / 16 * 8 + lane % 8][16 * d + lane / 8 % 2 * 8]);
        mma_m16n8k16<bf16>(s[n], left[d], right, s[n]);
        mma_m16n8k16<bf16>(s[n + 1], left[d], right + 2, s[n + 1]);
      }

#pragma unroll
    for (int h = 0; h < 2; ++h) {  // the lane's two rows
      float top = m[h];
#pragma unroll
      for (int n = 0; n < kScores; ++n)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          s[n][e] = key0 + 8 * n + lane % 4 * 2 + e % 2 < keys ? s[n][e] * (scale * kLog2E) : -INFINITY;
          top = fmaxf(top, s[n][e]);
        }
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      const float shrink = exp2_approx(m[h] - top);
      m[h] = top;
      l[h] *= shrink;
#pragma unroll
      for (int n = 0; n < kScores; ++n)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) l[h] += s[n][e] = exp2_approx(s[n][e] - top);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) o[c][2 * h] *= shrink, o[c][2 * h + 1] *= shrink;
    }

#pragma unroll
    for (int n = 0; n < kScores; n += 2) {  // 16 keys
      const unsigned p[4] = {pack<bf16>(s[n][0], s[n][1]), pack<bf16>(s[n][2], s[n][3]), pack<bf16>(s[n + 1][0], s[n + 1][1]), pack<bf16>(s[n + 1][2], s[n + 1][3])};
#pragma unroll
      for (int c = 0; c < kColumns; c += 2) {
        unsigned right[4];
        ldmatrix_x4_trans(right, &shared_v[stage][8 * n + lane % 16][8 * c + lane / 16 * 8]);
        mma_m16n8k16<bf16>(o[c], p, right, o[c]);
        mma_m16n8k16<bf16>(o[c + 1], p, right + 2, o[c + 1]);
      }
    }
  }

#pragma unroll
  for (int h = 0; h < 2; ++h) {
    l[h] += __shfl_xor_sync(~0u, l[h], 1);
    l[h] += __shfl_xor_sync(~0u, l[h], 2);
    const int query = query0 + 16 * warp + 8 * h + lane / 4;
    if (query >= queries) continue;
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      store_pack(y + Index(query) * kHeadDim + 8 * c + lane % 4 * 2, Pack<float, 2>{{o[c][2 * h] / l[h], o[c][2 * h + 1] / l[h]}});
  }
}

inline void run(const Attention& p) {
  launch(attend, Grid{dim3(unsigned(ceil_div(p.queries, kQueries)), unsigned(p.sequences)), dim3(kThreads)}, p.q16, p.k16, p.v16, p.y, p.queries, p.keys, p.scale);
}

}  // namespace ladder::attention::tensor_cores
