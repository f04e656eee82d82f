// attention by FMA in f32: any type, any head_dim, any alignment; f32's only path, since tf32 products would keep 11 bits.
//
//   plain_forward   a block owns 64 queries of a sequence and 128 columns of y, and walks the keys by 64
//   plain_queries   the same for dq
//   plain_keys      a block owns 64 keys and 128 columns of dk and dv, and walks the queries by 64
//   plain_bias      a block owns 64 × 64 of dbias and walks a chunk of the sequences that it was repeated over; add_chunks adds them in order
//   row_levels       a warp owns a query
//
// A thread owns 4 × 4 scores: rows 4·ty + i, columns tx + 16·j; and 4 × 4 outputs of each 64 columns: rows 4·ty + i, columns 4·tx + j. So each
// product reads 8 packs of 16 bytes of shared memory for 64 FMA; rows of 68 numbers keep both access patterns free of bank conflicts.
// Bound by FMA: 4·N·M·d forward, 14·N·M·d back (head_dim up to 128; every 128 columns more compute the scores again).
#include "cuda/attention.cuh"
#include "cuda/launch.cuh"
#include "cuda/scratch.cuh"
#include "cuda/warp.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
namespace {

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
  const bool adds = Added<T>::any(in);
  const float scale = in.scale * kLog2E;

  Square sum[kSlab], x, dp;
#pragma unroll
  for (int c = 0; c < kSlab; ++c) clear(sum[c]);

  for (int k0 = 0; k0 < seen; k0 += kTile) {
    meet(x, q, q0, k, k0, d, a, b);
    meet(dp, up, q0, v, k0, d, a, b);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = q0 + 4 * ty() + i;
      const Level level = level_of(levels + first_query(in, s), query, N);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = k0 + tx() + 16 * j;
        float t = x[i][j] * scale;
        if (key >= seen) t = unseen();
        else if (adds && query < N) t = added.to(t, query, key);
        x[i][j] = exp2f(t - level.lse) * (dp[i][j] - level.delta);
      }
    }
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

/// Which numbers the bias has of its own, and what it is repeated over.
struct BiasWork {
  Index own[5], over[5];                // outer, inner, head, query tiles, key tiles
  Index rows, columns;                  // its own queries and keys
  Index terms, chunks;                  // pairs of tiles added to each of its tiles, and the chunks they are added in
  __host__ __device__ Index sequences() const { return own[0] * own[1] * own[2]; }
  __host__ __device__ Index tiles() const { return sequences() * own[3] * own[4]; }
};

// grid [tiles of dbias, chunks], block 256, shared 3 tiles. partial [chunks, sequences of the bias, rows, columns], or null with one chunk
template <class T>
__global__ void __launch_bounds__(kThreads) plain_bias(AttentionInputs<T> in, AttentionRows<const T> g, const Level* __restrict__ levels, BiasWork work,
                                                       AttentionPlane<T> dbias, float* __restrict__ partial) {
  float *const a = dynamic_shared<float>(), *const b = a + kTileFloats, *const p = b + kTileFloats;
  const int N = int(in.queries), d = int(in.head_dim);
  Index own[5], rest = blockIdx.x;
  for (int i = 4; i >= 0; --i) own[i] = rest % work.own[i], rest /= work.own[i];

  Square total, x, dp;
  clear(total);
  const Index a_chunk = (work.terms + work.chunks - 1) / work.chunks, end = min(work.terms, (blockIdx.y + 1) * a_chunk);
  for (Index term = blockIdx.y * a_chunk; term < end; ++term) {
    Index at[5], t = term;
    for (int i = 4; i >= 0; --i) at[i] = own[i] + t % work.over[i], t /= work.over[i];
    const Sequence s{int(at[0]), int(at[1]), int(at[2])};
    const int q0 = int(at[3]) * kTile, k0 = int(at[4]) * kTile, seen = seen_keys(in, s);
    if (k0 >= seen) continue;  // the whole block
    const Side<T> q{rows_of(in.q, s), in.q.row, N}, up{rows_of(g, s), g.row, N}, k{rows_of(in.k, s), in.k.row, seen}, v{rows_of(in.v, s), in.v.row, seen};
    const Added<T> added(in, s);
    meet(x, q, q0, k, k0, d, a, b);
    meet(dp, up, q0, v, k0, d, a, b);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = q0 + 4 * ty() + i;
      const Level level = level_of(levels + first_query(in, s), query, N);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = k0 + tx() + 16 * j;
        if (key < seen && query < N) total[i][j] += exp2f(added.to(x[i][j] * in.scale * kLog2E, query, key) - level.lse) * (dp[i][j] - level.delta);
      }
    }
  }

  put(p, total);
  __syncthreads();
  // A tile's rows become one where the bias is repeated over queries, its columns where over keys.
  const bool one_row = work.rows == 1, one_column = work.columns == 1;
  const int rows = one_row ? 1 : kTile, columns = one_column ? 1 : kTile;
  const Index which = (own[0] * work.own[1] + own[1]) * work.own[2] + own[2];
  for (int i = int(threadIdx.x); i < rows * columns; i += kThreads) {
    const int r = i / columns, c = i % columns;
    const Index row = own[3] * kTile + r, column = own[4] * kTile + c;
    if (row >= work.rows || column >= work.columns) continue;
    float sum = 0.0f;
    for (int y = 0; y < (one_row ? kTile : 1); ++y)
      for (int z = 0; z < (one_column ? kTile : 1); ++z) sum += p[(r + y) * kPitch + c + z];
    if (partial) partial[((blockIdx.y * work.sequences() + which) * work.rows + row) * work.columns + column] = sum;
    else dbias.data[own[0] * dbias.outer + own[1] * dbias.inner + own[2] * dbias.head + row * dbias.query + column * dbias.key] = from_float<T>(sum);
  }
}

// grid [ceil(numbers of the bias / 256)], block 256
template <class T>
__global__ void add_chunks(const float* __restrict__ partial, BiasWork work, AttentionPlane<T> dbias) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x, count = work.sequences() * work.rows * work.columns;
  if (i >= count) return;
  float sum = 0.0f;
  for (Index c = 0; c < work.chunks; ++c) sum += partial[c * count + i];
  const Index column = i % work.columns, row = i / work.columns % work.rows, which = i / work.columns / work.rows;
  const Index head = which % work.own[2], inner = which / work.own[2] % work.own[1], outer = which / work.own[2] / work.own[1];
  dbias.data[outer * dbias.outer + inner * dbias.inner + head * dbias.head + row * dbias.query + column * dbias.key] = from_float<T>(sum);
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

constexpr std::size_t tile_bytes(int tiles) { return std::size_t(tiles) * kTileFloats * sizeof(float); }

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
template <class T>
void Plain<T>::backward_bias(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionPlane<T>& dbias) {
  // Enough blocks for any GPU, without more than 32 MiB of partial sums: a function of the sizes alone, so are the bits.
  constexpr Index kMostBlocks = 2048;
  const Index size[5] = {in.outer, in.inner, in.heads, ceil_div(in.queries, kTile), ceil_div(in.keys, kTile)};
  const Index stride[5] = {dbias.outer, dbias.inner, dbias.head, dbias.query, dbias.key};
  BiasWork work{};
  work.terms = 1;
  for (int i = 0; i < 5; ++i) work.own[i] = stride[i] ? size[i] : 1, work.over[i] = stride[i] ? 1 : size[i], work.terms *= work.over[i];
  work.rows = dbias.query ? in.queries : 1, work.columns = dbias.key ? in.keys : 1;
  work.chunks = std::max<Index>(1, std::min(ceil_div(work.terms, 4), kMostBlocks / work.tiles()));
  work.chunks = ceil_div(work.terms, ceil_div(work.terms, work.chunks));  // none is empty
  const Index count = work.sequences() * work.rows * work.columns;
  const Scratch partial(work.chunks > 1 ? work.chunks * count * Index(sizeof(float)) : 0);
  float* const sums = work.chunks > 1 ? partial.as<float>() : nullptr;
  launch(plain_bias<T>, Grid{dim3(blocks(1, work.tiles()), unsigned(work.chunks)), dim3(kThreads), tile_bytes(3)}, in, g, levels, work, dbias, sums);
  if (sums) launch(add_chunks<T>, Grid{dim3(blocks(1, ceil_div(count, kThreads))), dim3(kThreads)}, sums, work, dbias);
}

template struct Plain<float>;
template struct Plain<bf16>;
template struct Plain<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
