// attention, step 1: three passes, as the formula has them.
//
// All scores into a buffer, a softmax over each row of it, and the product with V. The buffer has queries × keys numbers and is written, read, written and read
// again: for 4096 tokens and one head 64 MB, four times, where q, k, v and y together are 4 MB. Two of the passes are plain products as well, and
// stand where gemm's first steps stand.
#pragma once

#include "bench/ladder/attention/problem.hpp"
#include "cuda/warp.cuh"

namespace ladder::attention::three_passes {

using namespace fg::cuda;

inline constexpr int kSide = 32, kRows = 8;

// grid [ceil(keys / kSide), ceil(queries / kRows), sequences], block (kSide, kRows): a thread a score
__global__ void score(const float* __restrict__ q, const float* __restrict__ k, float* __restrict__ scores, int queries, int keys, float scale) {
  const int key = int(blockIdx.x) * kSide + int(threadIdx.x), query = int(blockIdx.y) * kRows + int(threadIdx.y);
  if (query >= queries || key >= keys) return;
  q += (Index(blockIdx.z) * queries + query) * kHeadDim;
  k += (Index(blockIdx.z) * keys + key) * kHeadDim;
  float sum = 0.0f;
  for (int d = 0; d < kHeadDim; ++d) sum += q[d] * k[d];
  scores[(Index(blockIdx.z) * queries + query) * keys + key] = sum * scale;
}

// grid [ceil(rows / kRows)], block (kWarp, kRows): a warp a row
__global__ void softmax(float* __restrict__ scores, int rows, int keys) {
  const int row = int(blockIdx.x) * kRows + int(threadIdx.y), lane = int(threadIdx.x);
  if (row >= rows) return;  // the whole warp leaves together
  scores += Index(row) * keys;
  float top = -INFINITY, sum = 0.0f;
  for (int m = lane; m < keys; m += kWarp) top = fmaxf(top, scores[m]);
  top = warp_max(top);
  for (int m = lane; m < keys; m += kWarp) {
    const float p = expf(scores[m] - top);
    scores[m] = p;
    sum += p;
  }
  sum = warp_sum(sum);
  for (int m = lane; m < keys; m += kWarp) scores[m] /= sum;
}

// grid [kHeadDim / kSide, ceil(queries / kRows), sequences], block (kSide, kRows): a thread a number of y
__global__ void weigh(const float* __restrict__ p, const float* __restrict__ v, float* __restrict__ y, int queries, int keys) {
  const int d = int(blockIdx.x) * kSide + int(threadIdx.x), query = int(blockIdx.y) * kRows + int(threadIdx.y);
  if (query >= queries) return;
  p += (Index(blockIdx.z) * queries + query) * keys;
  v += Index(blockIdx.z) * keys * kHeadDim;
  float sum = 0.0f;
  for (int m = 0; m < keys; ++m) sum += p[m] * v[Index(m) * kHeadDim + d];
  y[(Index(blockIdx.z) * queries + query) * kHeadDim + d] = sum;
}

inline void run(const Attention& p) {
  const unsigned rows = unsigned(ceil_div(p.queries, kRows)), sequences = unsigned(p.sequences);
  launch(score, Grid{dim3(unsigned(ceil_div(p.keys, kSide)), rows, sequences), dim3(kSide, kRows)}, p.q, p.k, p.scores, p.queries, p.keys, p.scale);
  launch(softmax, Grid{dim3(unsigned(ceil_div(p.sequences * p.queries, kRows))), dim3(kWarp, kRows)}, p.scores, p.sequences * p.queries, p.keys);
  launch(weigh, Grid{dim3(kHeadDim / kSide, rows, sequences), dim3(kSide, kRows)}, p.scores, p.v, p.y, p.queries, p.keys);
}

}  // namespace ladder::attention::three_passes
