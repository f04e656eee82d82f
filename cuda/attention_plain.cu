// attention by FMA in f32: any type, any head_dim, any alignment; f32's only path, since tf32 products would keep 11 bits.
//
//   plain_forward   a block owns 64 queries of a sequence and 128 columns of y, and walks the keys by 64
//   plain_queries   the same for dq
//   plain_keys      a block owns 64 keys and 128 columns of dk and dv, and walks the queries by 64
//   row_levels      a warp owns a query: what backward subtracts
//
// Bound by FMA: 4·N·M·d forward, 14·N·M·d back (head_dim up to 128; every 128 columns more compute the scores again).
#include "cuda/attention_plain.cuh"
#include "cuda/warp.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
namespace {

// Over the 16 threads that share four rows: they are neighbours in a warp.
__device__ __forceinline__ float row_max(float v) {
#pragma unroll
  for (int lane = 8; lane; lane /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, lane));
  return v;
}
__device__ __forceinline__ float row_sum(float v) {
#pragma unroll
  for (int lane = 8; lane; lane /= 2) v += __shfl_xor_sync(~0u, v, lane);
  return v;
}

// grid [sequences · ceil(queries / 64), ceil(head_dim / 128)], block 256, shared 3 tiles
template <class T>
__global__ void __launch_bounds__(kThreads, 2) plain_forward(AttentionInputs<T> in, AttentionRows<T> y, float* __restrict__ lse) {
  float *const a = dynamic_shared<float>(), *const b = a + kTileFloats, *const p = b + kTileFloats;
  const int N = int(in.queries), d = int(in.head_dim), tiles = (N + kTile - 1) / kTile;
  const Sequence s = sequence(in, int(blockIdx.x) / tiles);
  const int q0 = int(blockIdx.x % unsigned(tiles)) * kTile, column0 = int(blockIdx.y) * kSlab * kTile, seen = seen_keys(in, s);
  const Side<T> q{rows_of(in.q, s), in.q.row, N}, k{rows_of(in.k, s), in.k.row, seen}, v{rows_of(in.v, s), in.v.row, seen};
  const Added<T> added(in, s);
  const bool adds = Added<T>::any(in);
  const float scale = in.scale * kLog2E;

  float m[4], l[4];  // of rows 4·ty + i; l over this thread's columns alone
  Square o[kSlab], x;
#pragma unroll
  for (int i = 0; i < 4; ++i) m[i] = unseen(), l[i] = 0.0f;
#pragma unroll
  for (int c = 0; c < kSlab; ++c) clear(o[c]);

  for (int k0 = 0; k0 < seen; k0 += kTile) {
    meet(x, q, q0, k, k0, d, a, b);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = q0 + 4 * ty() + i;
      float top = m[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = k0 + tx() + 16 * j;
        x[i][j] *= scale;
        if (key >= seen) x[i][j] = unseen();
        else if (adds && query < N) x[i][j] = added.to(x[i][j], query, key);
        top = fmaxf(top, x[i][j]);
      }
      top = row_max(top);
      const float base = top == unseen() ? 0.0f : top, shrink = exp2f(m[i] - base);
      m[i] = top, l[i] *= shrink;
#pragma unroll
      for (int j = 0; j < 4; ++j) l[i] += x[i][j] = exp2f(x[i][j] - base);
#pragma unroll
      for (int c = 0; c < kSlab; ++c)
#pragma unroll
        for (int j = 0; j < 4; ++j) o[c][i][j] *= shrink;
    }
    put(p, x);  // seen by all after spread's first barrier
    spread(o, p, N - q0, v, k0, column0, d, b);
  }

  float inverse[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    l[i] = row_sum(l[i]);
    inverse[i] = l[i] == 0.0f ? 0.0f : 1.0f / l[i];
    const int query = q0 + 4 * ty() + i;
    if (lse && column0 == 0 && tx() == 0 && query < N) lse[first_query(in, s) + query] = l[i] == 0.0f ? unseen() : m[i] * kLn2 + logf(l[i]);
  }
  write(y, s, o, q0, N, column0, d, inverse);
}

// grid [sequences · ceil(queries / 64), ceil(head_dim / 128)], block 256, shared 3 tiles
template <class T>
__global__ void __launch_bounds__(kThreads, 2) plain_queries(AttentionInputs<T> in, AttentionRows<const T> g, const Level* __restrict__ levels,
                                                          AttentionRows<T> dq) {
  float *const a = dynamic_shared<float>(), *const b = a + kTileFloats, *const p = b + kTileFloats;
  const int N = int(in.queries), d = int(in.head_dim), tiles = (N + kTile - 1) / kTile;
  const Sequence s = sequence(in, int(blockIdx.x) / tiles);
  const int q0 = int(blockIdx.x % unsigned(tiles)) * kTile, column0 = int(blockIdx.y) * kSlab * kTile, seen = seen_keys(in, s);
  const Side<T> q{rows_of(in.q, s), in.q.row, N}, up{rows_of(g, s), g.row, N}, k{rows_of(in.k, s), in.k.row, seen}, v{rows_of(in.v, s), in.v.row, seen};
  const Added<T> added(in, s);

  Square sum[kSlab], x, dp;
#pragma unroll
  for (int c = 0; c < kSlab; ++c) clear(sum[c]);

  for (int k0 = 0; k0 < seen; k0 += kTile) {
    meet(x, q, q0, k, k0, d, a, b);
    meet(dp, up, q0, v, k0, d, a, b);
    score_gradients(x, dp, in, added, levels + first_query(in, s), q0, k0, seen);
    put(p, x);
    spread(sum, p, N - q0, k, k0, column0, d, b);
  }
  const float factor[4] = {in.scale, in.scale, in.scale, in.scale};
  write(dq, s, sum, q0, N, column0, d, factor);
}

// grid [sequences · ceil(keys / 64), ceil(head_dim / 128)], block 256, shared 4 tiles
template <class T>
__global__ void __launch_bounds__(kThreads) plain_keys(AttentionInputs<T> in, AttentionRows<const T> g, const Level* __restrict__ levels,
                                                       AttentionRows<T> dk, AttentionRows<T> dv) {
  float *const a = dynamic_shared<float>(), *const b = a + kTileFloats, *const p = b + kTileFloats, *const ds = p + kTileFloats;
  const int N = int(in.queries), M = int(in.keys), d = int(in.head_dim), tiles = (M + kTile - 1) / kTile;
  const Sequence s = sequence(in, int(blockIdx.x) / tiles);
  const int k0 = int(blockIdx.x % unsigned(tiles)) * kTile, column0 = int(blockIdx.y) * kSlab * kTile, seen = seen_keys(in, s);
  const Side<T> q{rows_of(in.q, s), in.q.row, N}, up{rows_of(g, s), g.row, N}, k{rows_of(in.k, s), in.k.row, seen}, v{rows_of(in.v, s), in.v.row, seen};
  const Added<T> added(in, s);
  const bool adds = Added<T>::any(in);
  const float scale = in.scale * kLog2E;

  Square sum_k[kSlab], sum_v[kSlab], x, dp;
#pragma unroll
  for (int c = 0; c < kSlab; ++c) clear(sum_k[c]), clear(sum_v[c]);

  for (int q0 = 0; q0 < N && k0 < seen; q0 += kTile) {
    meet(x, k, k0, q, q0, d, a, b);
    meet(dp, v, k0, up, q0, d, a, b);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int query = q0 + tx() + 16 * j;
      const Level level = level_of(levels + first_query(in, s), query, N);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = k0 + 4 * ty() + i;
        float t = x[i][j] * scale;
        if (key >= seen) t = unseen();
        else if (adds && query < N) t = added.to(t, query, key);
        x[i][j] = exp2f(t - level.lse);
        dp[i][j] = x[i][j] * (dp[i][j] - level.delta);
      }
    }
    put(p, x), put(ds, dp);
    if (dv.data) spread(sum_v, p, seen - k0, up, q0, column0, d, b);
    if (dk.data) spread(sum_k, ds, seen - k0, q, q0, column0, d, b);
  }
  const float scales[4] = {in.scale, in.scale, in.scale, in.scale}, ones[4] = {1.0f, 1.0f, 1.0f, 1.0f};
  if (dk.data) write(dk, s, sum_k, k0, M, column0, d, scales);
  if (dv.data) write(dv, s, sum_v, k0, M, column0, d, ones);
}

// grid [ceil(sequences · queries / 8)], block 256: a warp owns a query
template <class T>
__global__ void row_levels(AttentionInputs<T> in, AttentionRows<const T> y, AttentionRows<const T> g, const float* __restrict__ lse, Level* __restrict__ levels) {
  const Index row = Index(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  if (row >= in.outer * in.inner * in.heads * in.queries) return;  // the whole warp
  const Sequence s = sequence(in, int(row / in.queries));
  const Index query = row % in.queries;
  const T *const out = rows_of(y, s) + query * y.row, *const up = rows_of(g, s) + query * g.row;
  float sum = 0.0f;
  for (int c = int(threadIdx.x) % 32; c < in.head_dim; c += 32) sum = fmaf(to_float(out[c]), to_float(up[c]), sum);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) levels[row] = {lse[row] == unseen() ? INFINITY : lse[row] * kLog2E, sum};
}

template <class T>
Grid plain_grid(const AttentionInputs<T>& in, Index rows, int tiles) {
  return {dim3(blocks(in.outer * in.inner * in.heads, ceil_div(rows, kTile)), unsigned(ceil_div(in.head_dim, kSlab * kTile))), dim3(kThreads), tile_bytes(tiles)};
}

}  // namespace

template <class T>
void Plain<T>::forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse) {
  launch(plain_forward<T>, plain_grid(in, in.queries, 3), in, y, lse);
}
template <class T>
void Plain<T>::levels(const AttentionInputs<T>& in, const AttentionRows<const T>& y, const AttentionRows<const T>& g, const float* lse, Level* levels) {
  launch(row_levels<T>, Grid{dim3(blocks(1, ceil_div(in.outer * in.inner * in.heads * in.queries, kThreads / 32))), dim3(kThreads)}, in, y, g, lse, levels);
}
template <class T>
void Plain<T>::backward_queries(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dq) {
  launch(plain_queries<T>, plain_grid(in, in.queries, 3), in, g, levels, dq);
}
template <class T>
void Plain<T>::backward_keys(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dk,
                             const AttentionRows<T>& dv) {
  launch(plain_keys<T>, plain_grid(in, in.keys, 4), in, g, levels, dk, dv);
}
template struct Plain<float>;
template struct Plain<bf16>;
template struct Plain<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
