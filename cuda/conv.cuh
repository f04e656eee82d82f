// Convolution as a product of matrices whose left one is never made (implicit GEMM): forward, and backward to the data.
//
//   y[p, o] = b[o] + Σ_{tap, c} x[source(p, tap), c]·w[o, tap, c]        rows: positions p;  depth: (tap, c)
//
//   convolve     a block owns 128 rows × BN outputs, four warps a quarter each. Tiles of 64 bytes of depth come by cp.async straight from the
//                channels-last x, four stages deep; a thread fetches the same 16 bytes of depth for four rows, so it follows one tap and channel.
//                All taps of 64 bytes of channels come before the next 64 bytes: taps share rows of x, which the first-level cache then holds
//   add_splits   a thread owns an element of y: where rows and outputs make few tiles, blocks share a row tile's depth and their sums are added here
//
// bf16 and half multiply on tensor cores (mma.sync), f32 by FMA on the same tiles; sums are f32. Bound by the multiplications: 2·rows·O·taps·C, at
// least; a tile moves 64·(128 + BN) bytes into shared memory for 2·128·BN·32 of them (bf16), which the second-level cache mostly serves: blocks
// that follow each other share rows. Backward to the data is the same sum over dy, one launch for each residue of the stride (Gather).
#pragma once

#include "cuda/ptx.cuh"
#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// One axis of what a row sums over.
struct GatherAxis {
  int positions, sources;
  int step, first, tap_step;       // position p, tap t: source p·step + first + t·tap_step
  int taps;
  int weight_first, weight_step;   // tap t is weight_first + t·weight_step of the kernel's, counted over all axes
  int targets, target_first, target_step;  // position p is target p·target_step + target_first
};
struct Gather {
  GatherAxis axis[3];              // depth, height, width
  int rows;                        // images × positions
  int depth;                       // channels that a group sums over, whole packs of 16 bytes
  int source_row;                  // channels of a row of x
  int outputs;                     // channels of a group of y
  int weight_row;                  // kernel volume × depth: an output's part of the packed weights
  bool dense;                      // row p is target p
};

inline constexpr int kConvThreads = 128, kConvRows = 128, kConvStages = 4;

/// Where 16 bytes of a tile with rows of 64 lie: eight rows of one column fall into different banks.
__device__ __forceinline__ int narrow_place(int row, int chunk) { return row * 4 + (chunk ^ (row >> 1 & 3)); }

/// f(row, column, sum, the next column's sum) for what a thread has of fragments of 16 × 8 sums that begin at (row0, column0).
template <int M, int N, class F>
__device__ __forceinline__ void each_pair(const float (&sum)[M][N][4], int row0, int column0, F&& f) {
  const int lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < M; ++i)
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int row = row0 + i * 16 + lane / 4, column = column0 + j * 8 + lane % 4 * 2;
      f(row, column, sum[i][j][0], sum[i][j][1]);
      f(row + 8, column, sum[i][j][2], sum[i][j][3]);
    }
}

/// A thread's sums of a tile kConvRows × BN, by tensor cores: a warp owns 64 × BN/2.
template <class T, int BN>
struct RowSums {
  static constexpr int kM = 4, kN = BN / 16;  // fragments of 16 rows, of 8 columns
  static constexpr int kApart = 1;            // columns of a pair
  float sum[kM][kN][4];
  const int lane = int(threadIdx.x) % 32, m = int(threadIdx.x) / 64 * 64, n = int(threadIdx.x) / 32 % 2 * (BN / 2);

  template <class F>
  __device__ __forceinline__ void begin(F&& at) {
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      const float a = at(n + j * 8 + lane % 4 * 2), b = at(n + j * 8 + lane % 4 * 2 + 1);
#pragma unroll
      for (int i = 0; i < kM; ++i) sum[i][j][0] = sum[i][j][2] = a, sum[i][j][1] = sum[i][j][3] = b;
    }
  }
  __device__ __forceinline__ void add(const uint4* left, const uint4* right) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      unsigned a[kM][4], b[kN / 2][4];
#pragma unroll
      for (int i = 0; i < kM; ++i) ldmatrix_x4(a[i], left + narrow_place(m + i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < kN / 2; ++j) ldmatrix_x4(b[j], right + narrow_place(n + j * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < kM; ++i)
#pragma unroll
        for (int j = 0; j < kN; ++j) mma_m16n8k16<T>(sum[i][j], a[i], b[j / 2] + j % 2 * 2, sum[i][j]);
    }
  }
  /// f(row, column, sum, sum of the pair's other column)
  template <class F>
  __device__ __forceinline__ void each(F&& f) const { each_pair(sum, m, n, f); }
};

/// By FMA: a thread owns every sixteenth row and every eighth column.
template <int BN>
struct RowSums<float, BN> {
  static constexpr int kM = kConvRows / 16, kN = BN / 16, kApart = 8;
  float sum[kM][kN][2];
  const int m = int(threadIdx.x) / 8, n = int(threadIdx.x) % 8;

  template <class F>
  __device__ __forceinline__ void begin(F&& at) {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j) sum[i][j][0] = at(n + j * 16), sum[i][j][1] = at(n + j * 16 + kApart);
  }
  __device__ __forceinline__ void add(const uint4* left, const uint4* right) {
#pragma unroll 1  // 256 products a turn are enough; more would fetch ahead into registers that there aren't
    for (int k = 0; k < 4; ++k) {
      Pack<float, 4> b[kN][2];
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) b[j][e] = load_pack<4>(reinterpret_cast<const float*>(right + narrow_place(n + j * 16 + e * kApart, k)));
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        const auto a = load_pack<4>(reinterpret_cast<const float*>(left + narrow_place(m + i * 16, k)));
#pragma unroll
        for (int j = 0; j < kN; ++j)
#pragma unroll
          for (int e = 0; e < 2; ++e)
#pragma unroll
            for (int v = 0; v < 4; ++v) sum[i][j][e] += a.v[v] * b[j][e].v[v];
      }
    }
  }
  template <class F>
  __device__ __forceinline__ void each(F&& f) const {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j) f(m + i * 16, n + j * 16, sum[i][j][0], sum[i][j][1]);
  }
};

/// Where row `m` of the walk is written, in rows of y.
__device__ __forceinline__ Index target_of(const Gather& g, int m) {
  if (g.dense) return m;
  const GatherAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int w = m % W.positions, h = m / W.positions % H.positions, d = m / (W.positions * H.positions) % D.positions;
  const Index n = m / (W.positions * H.positions * D.positions);
  return ((n * D.targets + d * D.target_step + D.target_first) * H.targets + h * H.target_step + H.target_first) * W.targets + w * W.target_step + W.target_first;
}

// grid [row tiles × output tiles, groups, splits], block kConvThreads; shared: kConvStages tiles of (kConvRows + BN)·64 bytes
template <class T, int BN>
__global__ void __launch_bounds__(kConvThreads) convolve(Gather g, const T* __restrict__ x,      // [images, sources, source_row]
                                                         const T* __restrict__ weights,          // [groups, outputs, kernel, depth]
                                                         const T* __restrict__ bias,             // [groups, outputs] or null
                                                         T* __restrict__ y,                      // [images, targets, groups, outputs]
                                                         float* __restrict__ partial,            // [splits, groups, rows, outputs] or null
                                                         int split_tiles,                        // tiles of depth of a split
                                                         bool packs) {                           // whether y takes 16 bytes at a time
  constexpr int P = kVector<T>, kDepth = 4 * P, kStage = (kConvRows + BN) * 4;
  const GatherAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  uint4* const shared = dynamic_shared<uint4>();
  const int thread = int(threadIdx.x), chunk = thread % 4, r0 = thread / 4;
  const int output_tiles = (g.outputs + BN - 1) / BN, m0 = int(blockIdx.x) / output_tiles * kConvRows, n0 = int(blockIdx.x) % output_tiles * BN;
  const int group = int(blockIdx.y), groups = int(gridDim.y);
  weights += Index(group) * g.outputs * g.weight_row;

  // This thread's rows: their image, and the source of tap 0.
  const T* image[kConvRows / 32];
  int d0[kConvRows / 32], h0[kConvRows / 32], w0[kConvRows / 32];
#pragma unroll
  for (int i = 0; i < kConvRows / 32; ++i) {
    const int m = m0 + r0 + 32 * i;
    const int n = m / (W.positions * H.positions * D.positions);
    image[i] = x + Index(n) * D.sources * H.sources * W.sources * g.source_row + group * g.depth;
    d0[i] = m < g.rows ? m / (W.positions * H.positions) % D.positions * D.step + D.first : -(1 << 30);  // no tap brings it back to a source
    h0[i] = m / W.positions % H.positions * H.step + H.first;
    w0[i] = m % W.positions * W.step + W.first;
  }

  // And its place in the depth: tap and channel.
  const int tiles_all = (D.taps * H.taps * W.taps * g.depth + kDepth - 1) / kDepth, begin = int(blockIdx.z) * split_tiles;
  const int tiles = min(split_tiles, tiles_all - begin);
  const bool slices = g.depth % kDepth == 0;  // else tiles hold parts of two taps or more, in the order (tap, channel)
  int c = 0, td = 0, th = 0, tw = 0;
  if (tiles > 0) {
    const int taps = D.taps * H.taps * W.taps, k = begin * kDepth + chunk * P, tap = slices ? begin % taps : k / g.depth;
    c = slices ? begin / taps * kDepth + chunk * P : k % g.depth;
    tw = tap % W.taps, th = tap / W.taps % H.taps, td = tap / (W.taps * H.taps);
  }
  const auto next_tap = [&] {
    if (++tw < W.taps) return;
    tw = 0;
    if (++th < H.taps) return;
    th = 0;
    ++td;
  };
  const auto load = [&](int stage) {
    uint4* const left = shared + stage * kStage;
    uint4* const right = left + kConvRows * 4;
    const bool some = td < D.taps;
#pragma unroll
    for (int i = 0; i < kConvRows / 32; ++i) {
      const int d = d0[i] + td * D.tap_step, h = h0[i] + th * H.tap_step, w = w0[i] + tw * W.tap_step;
      const bool in = some && unsigned(d) < unsigned(D.sources) && unsigned(h) < unsigned(H.sources) && unsigned(w) < unsigned(W.sources);
      const T* const from = in ? image[i] + Index((d * H.sources + h) * W.sources + w) * g.source_row + c : x;
      cp_async_cached(left + narrow_place(r0 + 32 * i, chunk), from, in ? 16 : 0);
    }
    const int tap = D.weight_first + td * D.weight_step + H.weight_first + th * H.weight_step + W.weight_first + tw * W.weight_step;
    const T* const at = weights + Index(tap) * g.depth + c;
#pragma unroll
    for (int i = 0; i < BN / 32; ++i) {
      const int n = n0 + r0 + 32 * i;
      const bool in = some && n < g.outputs;
      cp_async<16>(right + narrow_place(r0 + 32 * i, chunk), in ? at + Index(n) * g.weight_row : weights, in ? 16 : 0);
    }
    if (slices) {
      next_tap();
      if (td == D.taps) td = 0, c += kDepth;
    } else {
      for (c += kDepth; c >= g.depth; c -= g.depth) next_tap();
    }
  };

  RowSums<T, BN> sums;
  sums.begin([&](int column) { return bias && n0 + column < g.outputs ? to_float(bias[group * g.outputs + n0 + column]) : 0.0f; });
  for (int s = 0; s < kConvStages - 1; ++s) {
    if (s < tiles) load(s);
    cp_async_commit();
  }
  for (int t = 0; t < tiles; ++t) {
    cp_async_wait<kConvStages - 2>();
    __syncthreads();  // tile t is there, and all have done with tile t − 1, whose stage is filled now
    if (t + kConvStages - 1 < tiles) load((t + kConvStages - 1) % kConvStages);
    cp_async_commit();
    const uint4* const left = shared + t % kConvStages * kStage;
    sums.add(left, left + kConvRows * 4);
  }

  if (partial) {
    partial += (Index(blockIdx.z) * groups + group) * g.rows * g.outputs;
    sums.each([&](int row, int column, float a, float b) {
      const int m = m0 + row, n = n0 + column;
      if (m >= g.rows) return;
      if (n < g.outputs) partial[Index(m) * g.outputs + n] = a;
      if (n + sums.kApart < g.outputs) partial[Index(m) * g.outputs + n + sums.kApart] = b;
    });
    return;
  }
  // Through shared memory, so that y is written in whole rows. A pitch of one pack more spreads the rows over the banks.
  constexpr int kPitch = BN + P, kPacks = BN / P;
  static_assert(kConvRows * kPitch * int(sizeof(T)) <= kConvStages * kStage * 16);
  T* const rows = reinterpret_cast<T*>(shared);
  __syncthreads();  // all have done with the last tile
  sums.each([&](int row, int column, float a, float b) {
    rows[row * kPitch + column] = from_float<T>(a);
    rows[row * kPitch + column + sums.kApart] = from_float<T>(b);
  });
  __syncthreads();
  for (int i = thread; i < kConvRows * kPacks; i += kConvThreads) {
    const int row = i / kPacks, column = i % kPacks * P, n = n0 + column;
    if (m0 + row >= g.rows || n >= g.outputs) continue;
    T* const to = y + (target_of(g, m0 + row) * groups + group) * g.outputs + n;
    const auto v = load_pack<P>(rows + row * kPitch + column);
    if (packs) {
      store_pack(to, v);
    } else {
      for (int j = 0; j < P && n + j < g.outputs; ++j) to[j] = rows[row * kPitch + column + j];
    }
  }
}

// grid [ceil(rows·outputs / 256), groups], block 256
template <class T>
__global__ void add_splits(Gather g, int splits, const float* __restrict__ partial,  // [splits, groups, rows, outputs]
                           const T* __restrict__ bias,                               // [groups, outputs] or null
                           T* __restrict__ y) {                                      // [images, targets, groups, outputs]
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x, each = Index(g.rows) * g.outputs;
  if (i >= each) return;
  const int group = int(blockIdx.y), groups = int(gridDim.y), m = int(i / g.outputs), n = int(i % g.outputs);
  float sum = bias ? to_float(bias[group * g.outputs + n]) : 0.0f;
  for (int s = 0; s < splits; ++s) sum += partial[(Index(s) * groups + group) * each + i];
  y[(target_of(g, m) * groups + group) * g.outputs + n] = from_float<T>(sum);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
