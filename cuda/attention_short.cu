// attention of thousands of short sequences (the frames of each patch in a video model), in bf16 and half.
//
//   short_forward    a warp owns a sequence of at most 16·M queries and keys, whole in its part of the block's shared memory
//   short_backward   the same: dq, dk and dv at once; δ = Σ p·(g·vᵀ), which is Σ g·y without reading y; scores again, transposed, for dk and dv
//
// Bound by memory: 4·rows·d numbers move forward (q, k, v in, y out), 7 back. At 16 tokens the products are a fifth of what the tensor cores could do meanwhile.
#include "cuda/attention_mma.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
namespace {

/// Warps of a block: they share nothing, so few of them leave less shared memory unused.
template <int M> inline constexpr int kShortWarps = M == 1 ? 4 : 2;

/// A whole matrix into a tile, by one warp. Not yet committed.
template <int D, int M, class T>
__device__ __forceinline__ void fetch(T* tile, const AttentionRows<const T>& rows, const Sequence& s, int end, int head_dim) {
  Loader<D, 16 * M, 32, T>(rows_of(rows, s), rows.row, 0, head_dim, lane()).next(tile, end);
}
/// −∞ beyond the rows and columns that exist.
template <int M>
__device__ __forceinline__ void cut(Scores<M, 2 * M>& x, int rows, int columns) {
  if (rows < 16 * M || columns < 16 * M) each_score<M, 2 * M>(x, [&](float& score, int r, int c) { score = r < rows && c < columns ? score : unseen(); });
}

/// p·b times a factor a row → rows of `to`, by one warp; b: 8·N rows of a tile. At most 80 sums a thread at once: more leave no registers for what comes after.
template <int D, int M, int N, class T>
__device__ __forceinline__ void write_product(T* tile, const Scores<M, N>& p, const T* b, const float (&factor)[M][2], T* to, Index stride, int rows, int columns) {
  constexpr int kColumns = M * D <= 160 ? D : D / 2;
#pragma unroll 1
  for (int c = 0; c < D; c += kColumns) {
    Scores<M, kColumns / 8> sum;
    clear<M, kColumns / 8>(sum);
    add_product<D, M, N, kColumns / 8>(sum, p, b + c);
    write_rows<D>(tile + c, sum, factor, to + c, stride, 0, rows, columns - c);
  }
}

// grid [ceil(sequences / kShortWarps)], block 32·kShortWarps, shared 3 tiles a warp
template <class T, int D, int M>
__global__ void __launch_bounds__(32 * kShortWarps<M>) short_forward(AttentionInputs<T> in, AttentionRows<T> y, float* __restrict__ lse, int sequences) {
  constexpr int N = 2 * M, C = D / 8, kTile = 16 * M * kPitch<D>;
  const int i = int(blockIdx.x) * kShortWarps<M> + warp();
  if (i >= sequences) return;  // the whole warp; there is no barrier of the block
  const Sequence s = sequence(in, i);
  const int queries = int(in.queries), d = int(in.head_dim), seen = seen_keys(in, s);
  T *const q = dynamic_shared<T>() + 3 * kTile * warp(), *const k = q + kTile, *const v = k + kTile;
  fetch<D, M>(q, in.q, s, queries, d), fetch<D, M>(k, in.k, s, seen, d), fetch<D, M>(v, in.v, s, seen, d);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();

  Scores<M, N> x;
  multiply_rows<D, M, N>(x, Read<D, M, T>{q}, k);
  const float factor = Masked::template apply<false, M, N>(x, in, s, 0, 0);
  cut<M>(x, 16 * M, seen);
  Scores<M, C> o;
  clear<M, C>(o);
  Softmax<M> softmax;
  softmax.step(x, factor, o);
  add_product<D, M, N, C>(o, x, v);

  float inverse[M][2];
  softmax.finish(factor, inverse, lse ? lse + first_query(in, s) : nullptr, 0, queries);
  write_rows<D>(q, o, inverse, rows_of(y, s), y.row, 0, queries, d);
}

// grid [ceil(sequences / kShortWarps)], block 32·kShortWarps, shared 4 tiles and 16·M levels a warp
template <class T, int D, int M>
__global__ void __launch_bounds__(32 * kShortWarps<M>) short_backward(AttentionInputs<T> in, AttentionRows<const T> g, const float* __restrict__ lse, AttentionRows<T> dq,
                                                                      AttentionRows<T> dk, AttentionRows<T> dv, int sequences) {
  constexpr int N = 2 * M, kTile = 16 * M * kPitch<D>;
  const int i = int(blockIdx.x) * kShortWarps<M> + warp();
  if (i >= sequences) return;  // the whole warp; there is no barrier of the block
  const Sequence s = sequence(in, i);
  const int queries = int(in.queries), keys = int(in.keys), d = int(in.head_dim), seen = seen_keys(in, s);
  Level* const levels = dynamic_shared<Level>() + 16 * M * warp();
  T* const q = reinterpret_cast<T*>(dynamic_shared<Level>() + 16 * M * kShortWarps<M>) + 4 * kTile * warp();
  T *const k = q + kTile, *const v = k + kTile, *const up = v + kTile;
  fetch<D, M>(q, in.q, s, queries, d), fetch<D, M>(up, g, s, queries, d), fetch<D, M>(k, in.k, s, seen, d), fetch<D, M>(v, in.v, s, seen, d);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();

  Scores<M, N> x, ds;  // queries × keys
  multiply_rows<D, M, N>(x, Read<D, M, T>{q}, k);
  multiply_rows<D, M, N>(ds, Read<D, M, T>{up}, v);
  const float factor = Masked::template apply<false, M, N>(x, in, s, 0, 0);
  cut<M>(x, queries, seen);
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int query = 16 * m + 8 * r + lane() / 4;
      const float sum = query < queries ? lse[first_query(in, s) + query] : unseen(), less = sum == unseen() ? INFINITY : sum * kLog2E;
      float delta = 0.0f;
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int j = 2 * r; j < 2 * r + 2; ++j) {
          x[m][n][j] = exp2_approx(fmaf(x[m][n][j], factor, -less));
          delta = fmaf(x[m][n][j], ds[m][n][j], delta);
        }
      delta = quad_sum(delta);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int j = 2 * r; j < 2 * r + 2; ++j) ds[m][n][j] = x[m][n][j] * (ds[m][n][j] - delta);
      if (lane() % 4 == 0) levels[query] = {less, delta};
    }
  __syncwarp();

  Scores<M, N> p, dst;  // keys × queries
  multiply_rows<D, M, N>(p, Read<D, M, T>{k}, q);
  multiply_rows<D, M, N>(dst, Read<D, M, T>{v}, up);
  Masked::template apply<true, M, N>(p, in, s, 0, 0);
  cut<M>(p, seen, queries);
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const Level level = levels[8 * n + lane() % 4 * 2 + j % 2];
        p[m][n][j] = exp2_approx(fmaf(p[m][n][j], factor, -level.lse));
        dst[m][n][j] = p[m][n][j] * (dst[m][n][j] - level.delta);
      }

  // V's tile is free from here on, and takes what is written; K's after the last product with it.
  float scale[M][2], one[M][2];
  fill<M>(scale, in.scale), fill<M>(one, 1.0f);
  if (dv.data) write_product<D>(v, p, up, one, rows_of(dv, s), dv.row, keys, d);
  if (dq.data) write_product<D>(v, ds, k, scale, rows_of(dq, s), dq.row, queries, d);
  if (dk.data) write_product<D>(k, dst, q, scale, rows_of(dk, s), dk.row, keys, d);
}

/// Calls f with head_dim's size and the number of 16 × 16 tiles on a side, as constants.
template <class T, class F>
void with_sizes(const AttentionInputs<T>& in, F&& f) {
  with_head_dim<32, 64, 80, 128>(in.head_dim, [&](auto D) {
    if (in.queries <= 16 && in.keys <= 16) f(D, std::integral_constant<int, 1>{});
    else f(D, std::integral_constant<int, 2>{});
  });
}
template <class T, int D, int M>
Grid short_grid(Index sequences, int tiles, std::size_t more) {
  return {dim3(blocks(1, ceil_div(sequences, kShortWarps<M>))), dim3(32 * kShortWarps<M>), kShortWarps<M> * (tiles * 16 * M * kPitch<D> * sizeof(T) + more)};
}

}  // namespace

template <class T>
void Short<T>::forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse) {
  const Index n = in.outer * in.inner * in.heads;
  with_sizes(in, [&](auto D, auto M) { launch(short_forward<T, D, M>, short_grid<T, D, M>(n, 3, 0), in, y, lse, int(n)); });
}
template <class T>
void Short<T>::backward(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const float* lse, const AttentionRows<T>& dq, const AttentionRows<T>& dk, const AttentionRows<T>& dv) {
  const Index n = in.outer * in.inner * in.heads;
  with_sizes(in, [&](auto D, auto M) { launch(short_backward<T, D, M>, short_grid<T, D, M>(n, 4, 16 * M * sizeof(Level)), in, g, lse, dq, dk, dv, int(n)); });
}

template struct Short<bf16>;
template struct Short<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
