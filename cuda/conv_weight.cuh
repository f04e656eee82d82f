// Convolution, backward to the weights: the same product with the positions as its depth.
//
//   dw[o, tap, c] = Σ_p dy[p, o]·x[source(p, tap), c]      rows: outputs o;  columns: (tap, c)
//
//   convolve_weights   a block owns a tile of rows × columns and a chunk of the positions, four warps a quarter each. 32 positions at a time come
//                      by cp.async, four stages deep, as rows of 16-byte packs; a thread's pack of a column stays the same tap and channel
//   add_weights        a thread owns an element of dw: the chunks' sums, in order
//
// Tensor cores take both operands transposed (ldmatrix.trans); f32 goes by FMA. Bound by the multiplications, as forward. Chunks depend on the
// sizes alone, so the bits don't depend on the GPU.
#pragma once

#include "cuda/conv.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kWeightDepth = 32;    // positions of a tile
inline constexpr int kWeightColumns = 16;  // packs of (tap, channel)

/// Where a pack of a tile with rows of `packs` packs lies: eight rows of one column fall into different banks.
template <int packs>
__device__ __forceinline__ int wide_place(int row, int pack) { return row * packs + (pack ^ (row & 7)); }

/// A thread's sums of a tile of kRows packs of outputs × kWeightColumns packs, by tensor cores: a warp owns a quarter.
template <class T, int kRows>
struct ColumnSums {
  static constexpr int kM = kRows / 4, kN = kWeightColumns / 2;  // fragments of 16 rows, of 8 columns
  float sum[kM][kN][4] = {};
  const int lane = int(threadIdx.x) % 32, m = int(threadIdx.x) / 64 * (kRows / 2), n = int(threadIdx.x) / 32 % 2 * (kWeightColumns / 2);  // in packs

  __device__ __forceinline__ void add(const uint4* left, const uint4* right) {
#pragma unroll
    for (int k = 0; k < kWeightDepth; k += 16) {
      unsigned a[kM][4], b[kN / 2][4];
#pragma unroll
      for (int i = 0; i < kM; ++i) ldmatrix_x4_trans(a[i], left + wide_place<kRows>(k + lane / 16 * 8 + lane % 8, m + i * 2 + lane / 8 % 2));
#pragma unroll
      for (int j = 0; j < kN / 2; ++j) ldmatrix_x4_trans(b[j], right + wide_place<kWeightColumns>(k + lane / 8 % 2 * 8 + lane % 8, n + j * 2 + lane / 16));
#pragma unroll
      for (int i = 0; i < kM; ++i)
#pragma unroll
        for (int j = 0; j < kN; ++j) mma_m16n8k16<T>(sum[i][j], a[i], b[j / 2] + j % 2 * 2, sum[i][j]);
    }
  }
  /// f(row, column, sum, the next column's sum)
  template <class F>
  __device__ __forceinline__ void each(F&& f) const { each_pair(sum, m * 8, n * 8, f); }
};

/// By FMA: a thread owns every eighth pack of rows and one of columns.
template <int kRows>
struct ColumnSums<float, kRows> {
  static constexpr int kM = kRows / 8;
  float sum[kM][4][4] = {};
  const int m = int(threadIdx.x) / 16, n = int(threadIdx.x) % 16;

  __device__ __forceinline__ void add(const uint4* left, const uint4* right) {
#pragma unroll 4
    for (int k = 0; k < kWeightDepth; ++k) {
      const auto b = load_pack<4>(reinterpret_cast<const float*>(right + wide_place<kWeightColumns>(k, n)));
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        const auto a = load_pack<4>(reinterpret_cast<const float*>(left + wide_place<kRows>(k, m + 8 * i)));
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
          for (int c = 0; c < 4; ++c) sum[i][r][c] += a.v[r] * b.v[c];
      }
    }
  }
  template <class F>
  __device__ __forceinline__ void each(F&& f) const {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int r = 0; r < 4; ++r)
#pragma unroll
        for (int c = 0; c < 4; c += 2) f((m + 8 * i) * 4 + r, n * 4 + c, sum[i][r][c], sum[i][r][c + 1]);
  }
};

// grid [output tiles × column tiles, groups, chunks], block kConvThreads; shared: kConvStages tiles of kWeightDepth·(kRows + kWeightColumns) packs
template <class T, int kRows>
__global__ void __launch_bounds__(kConvThreads) convolve_weights(Gather g, const T* __restrict__ x,  // [images, sources, source_row]
                                                                 const T* __restrict__ dy,           // [images, targets, dy_row]
                                                                 int dy_row, int group_outputs,      // of a row of dy; from a group to the next
                                                                 float* __restrict__ partial,        // [chunks, groups, outputs, weight_row]
                                                                 int chunk_rows) {                   // a multiple of kWeightDepth
  constexpr int P = kVector<T>, kStage = kWeightDepth * (kRows + kWeightColumns), kStep = kConvThreads / kWeightColumns;
  const GatherAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  uint4* const shared = dynamic_shared<uint4>();
  const int thread = int(threadIdx.x), group = int(blockIdx.y), groups = int(gridDim.y);
  const int column_tiles = (g.weight_row + kWeightColumns * P - 1) / (kWeightColumns * P);
  const int o0 = int(blockIdx.x) / column_tiles * kRows * P, k0 = int(blockIdx.x) % column_tiles * kWeightColumns * P;
  const int begin = int(blockIdx.z) * chunk_rows, end = min(g.rows, begin + chunk_rows);

  // This thread's pack of dy's rows, and of x's: outputs o…, and channels c… of one tap.
  const int left_pack = thread % kRows, right_pack = thread % kWeightColumns, row0 = thread / kWeightColumns;
  const bool has_outputs = o0 + left_pack * P < g.outputs;
  const T* const dy_at = dy + group * group_outputs + o0 + left_pack * P;
  const int k = k0 + right_pack * P, tap = k / g.depth, c = k % g.depth;
  const bool has_tap = k < g.weight_row;
  const int tw = tap % W.taps, th = tap / W.taps % H.taps, td = tap / (W.taps * H.taps);
  x += group * g.depth + c;

  // And the positions of its rows of x.
  int n[kWeightDepth / kStep], d[kWeightDepth / kStep], h[kWeightDepth / kStep], w[kWeightDepth / kStep];
#pragma unroll
  for (int i = 0; i < kWeightDepth / kStep; ++i) {
    const int p = begin + row0 + kStep * i;
    w[i] = p % W.positions, h[i] = p / W.positions % H.positions, d[i] = p / (W.positions * H.positions) % D.positions;
    n[i] = p / (W.positions * H.positions * D.positions);
  }

  const auto load = [&](int stage, int p0) {
    uint4* const left = shared + stage * kStage;
    uint4* const right = left + kWeightDepth * kRows;
#pragma unroll
    for (int row = thread / kRows; row < kWeightDepth; row += kConvThreads / kRows) {
      const bool in = has_outputs && p0 + row < end;
      cp_async<16>(left + wide_place<kRows>(row, left_pack), in ? dy_at + Index(p0 + row) * dy_row : dy, in ? 16 : 0);
    }
#pragma unroll
    for (int i = 0; i < kWeightDepth / kStep; ++i) {
      const int sd = d[i] * D.step + D.first + td * D.tap_step, sh = h[i] * H.step + H.first + th * H.tap_step, sw = w[i] * W.step + W.first + tw * W.tap_step;
      const bool in = has_tap && p0 + row0 + kStep * i < end && unsigned(sd) < unsigned(D.sources) && unsigned(sh) < unsigned(H.sources) && unsigned(sw) < unsigned(W.sources);
      const T* const from = in ? x + ((Index(n[i]) * D.sources + sd) * H.sources * W.sources + sh * W.sources + sw) * g.source_row : x - (group * g.depth + c);
      cp_async<16>(right + wide_place<kWeightColumns>(row0 + kStep * i, right_pack), from, in ? 16 : 0);
      for (w[i] += kWeightDepth; w[i] >= W.positions; w[i] -= W.positions) {
        if (++h[i] < H.positions) continue;
        h[i] = 0;
        if (++d[i] < D.positions) continue;
        d[i] = 0;
        ++n[i];
      }
    }
  };

  ColumnSums<T, kRows> sums;
  const int tiles = (end - begin + kWeightDepth - 1) / kWeightDepth;
  for (int s = 0; s < kConvStages - 1; ++s) {
    if (s < tiles) load(s, begin + s * kWeightDepth);
    cp_async_commit();
  }
  for (int t = 0; t < tiles; ++t) {
    cp_async_wait<kConvStages - 2>();
    __syncthreads();  // tile t is there, and all have done with tile t − 1, whose stage is filled now
    if (t + kConvStages - 1 < tiles) load((t + kConvStages - 1) % kConvStages, begin + (t + kConvStages - 1) * kWeightDepth);
    cp_async_commit();
    const uint4* const left = shared + t % kConvStages * kStage;
    sums.add(left, left + kWeightDepth * kRows);
  }
  partial += (Index(blockIdx.z) * groups + group) * g.outputs * g.weight_row;
  sums.each([&](int row, int column, float a, float b) {  // a pair of columns is inside or outside together: rows are whole packs
    if (o0 + row < g.outputs && k0 + column < g.weight_row) store_pack(partial + Index(o0 + row) * g.weight_row + k0 + column, Pack<float, 2>{a, b});
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
