// attention backward on tensor cores: the FlashAttention-2 scheme (Dao 2023, arXiv:2307.08691, algorithm 2), its two loops apart so that no sum
// meets another block's: the bits are the same each time.
//
//   tensor_queries   a block of four warps owns 64 queries of a sequence and walks the keys: dq, three products
//   tensor_keys      a block of four warps owns 64 keys and walks the queries: dk and dv, four products, on transposed scores, so that
//                    probabilities and their gradients are a left side as they stand in registers
//
// What walks is double-buffered by cp.async. Bound by the tensor cores: 14·N·M·d operations (10 with a shared sum of dq, which would be in no order).
//
//   Bare, bf16, CUDA 13, sm_80    head_dim to   64   80   96  128  256
//   registers, queries                         162  168  150  161  241    nothing spilled; 168 let three blocks onto a multiprocessor
//   registers, keys                            168  168  236  254  232
#pragma once

#include "cuda/attention_mma.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {

inline constexpr int kBackwardRows = 64;  // of a block: 16 a warp
/// Blocks that must fit on a multiprocessor: where the sums are small, a third one is worth more than the registers it takes from two. 0: the compiler
/// chooses, which it does well where it isn't told that one will do.
template <int D, class Add> inline constexpr int kBackwardBlocks = D <= 64 && !Add::kAdds ? 3 : 0;

template <int D>
struct QueriesCut {
  static constexpr int kKeys = D <= 80 ? 64 : 32;
  static constexpr bool kHold = D <= 48;
  template <class T> using Left = std::conditional_t<kHold, Held<D, 1, T>, Read<D, 1, T>>;
  template <class T> static constexpr std::size_t bytes() { return std::size_t(2 * kBackwardRows + 4 * kKeys) * kPitch<D> * sizeof(T); }
};

// grid [sequences · ceil(queries / 64)], block 128, shared QueriesCut::bytes
template <class T, int D, class Add>
__global__ void __launch_bounds__(kTensorThreads, kBackwardBlocks<D, Add>) tensor_queries(AttentionInputs<T> in, AttentionRows<const T> g, const Level* __restrict__ levels, AttentionRows<T> dq) {
  using Cut = QueriesCut<D>;
  constexpr int N = Cut::kKeys / 8, C = D / 8, kTile = Cut::kKeys * kPitch<D>, kOwn = kBackwardRows * kPitch<D>;
  T *const q = dynamic_shared<T>(), *const up = q + kOwn, *const kv = up + kOwn;  // kv: K, V; K, V

  const int queries = int(in.queries), d = int(in.head_dim), tiles = (queries + kBackwardRows - 1) / kBackwardRows, thread = int(threadIdx.x);
  const Sequence s = sequence(in, int(blockIdx.x) / tiles);
  const int q0 = int(blockIdx.x) % tiles * kBackwardRows, row0 = q0 + 16 * warp(), seen = seen_keys(in, s);
  Loader<D, Cut::kKeys, kTensorThreads, T> ks(rows_of(in.k, s), in.k.row, 0, d, thread), vs(rows_of(in.v, s), in.v.row, 0, d, thread);
  const auto load = [&](T* to) {
    ks.next(to, seen), vs.next(to + kTile, seen);
    cp_async_commit();
  };
  Loader<D, kBackwardRows, kTensorThreads, T>(rows_of(in.q, s), in.q.row, q0, d, thread).next(q, queries);
  Loader<D, kBackwardRows, kTensorThreads, T>(rows_of(g, s), g.row, q0, d, thread).next(up, queries);
  load(kv);

  T* const own = q + 16 * warp() * kPitch<D>;
  Level level[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) level[i] = level_of(levels + first_query(in, s), row0 + lane() / 4 + 8 * i, queries);
  typename Cut::template Left<T> left_q, left_g;
  Scores<1, C> sum;
  clear<1, C>(sum);

  int turn = 0;
  for (int k0 = 0; k0 < seen; k0 += Cut::kKeys, turn ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all are done with the other one
    if (k0 == 0) left_q.load(own), left_g.load(own + kOwn);
    if (k0 + Cut::kKeys < seen) load(kv + 2 * kTile * (turn ^ 1));
    const T *const k = kv + 2 * kTile * turn, *const v = k + kTile;

    Scores<1, N> x, dp;
    multiply_rows<D, 1, N>(x, left_q, k);
    const float factor = Add::template apply<false, 1, N>(x, in, s, row0, k0);
    if (k0 + Cut::kKeys > seen) each_score<1, N>(x, [&](float& score, int, int c) { score = k0 + c < seen ? score : unseen(); });
    multiply_rows<D, 1, N>(dp, left_g, v);
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) x[0][n][i] = exp2_approx(fmaf(x[0][n][i], factor, -level[i / 2].lse)) * (dp[0][n][i] - level[i / 2].delta);
    add_product<D, 1, N, C>(sum, x, k);
  }

  cp_async_wait<0>();
  __syncthreads();  // without keys, Q may still be on its way
  float factor[1][2];
  fill<1>(factor, in.scale);
  write_rows<D>(own, sum, factor, rows_of(dq, s), dq.row, row0, queries, d);
}

/// Above a head_dim of 128 a block owns half of dk's and dv's columns, and the scores are computed twice: all of both don't fit into registers.
template <int D>
struct KeysCut {
  static constexpr int kQueries = D <= 128 ? 32 : 16;
  static constexpr int kColumns = D <= 128 ? D : D / 2;
  static constexpr std::size_t kLevels = 2 * kQueries * sizeof(Level);
  template <class T> static constexpr std::size_t bytes() { return kLevels + std::size_t(2 * kBackwardRows + 4 * kQueries) * kPitch<D> * sizeof(T); }
};

// grid [sequences · ceil(keys / 64), D / kColumns], block 128, shared KeysCut::bytes
template <class T, int D, class Add>
__global__ void __launch_bounds__(kTensorThreads, kBackwardBlocks<D, Add>) tensor_keys(AttentionInputs<T> in, AttentionRows<const T> g, const Level* __restrict__ levels, AttentionRows<T> dk, AttentionRows<T> dv) {
  using Cut = KeysCut<D>;
  constexpr int N = Cut::kQueries / 8, C = Cut::kColumns / 8, kTile = Cut::kQueries * kPitch<D>, kOwn = kBackwardRows * kPitch<D>;
  Level* const level_tiles = dynamic_shared<Level>();
  T *const k = reinterpret_cast<T*>(level_tiles + 2 * Cut::kQueries), *const v = k + kOwn, *const qg = v + kOwn;  // qg: Q, g; Q, g

  const int queries = int(in.queries), keys = int(in.keys), d = int(in.head_dim), tiles = (keys + kBackwardRows - 1) / kBackwardRows, thread = int(threadIdx.x);
  const Sequence s = sequence(in, int(blockIdx.x) / tiles);
  const int k0 = int(blockIdx.x) % tiles * kBackwardRows, row0 = k0 + 16 * warp(), column0 = int(blockIdx.y) * Cut::kColumns;
  const int seen = seen_keys(in, s), end = k0 < seen ? queries : 0;  // of the queries that are walked
  Loader<D, Cut::kQueries, kTensorThreads, T> qs(rows_of(in.q, s), in.q.row, 0, d, thread), gs(rows_of(g, s), g.row, 0, d, thread);
  const auto load = [&](int q0, int turn) {
    T* const to = qg + 2 * kTile * turn;
    qs.next(to, queries), gs.next(to + kTile, queries);
    if (thread < Cut::kQueries) {
      const bool inside = q0 + thread < queries;
      cp_async<8>(level_tiles + turn * Cut::kQueries + thread, levels + first_query(in, s) + (inside ? q0 + thread : 0), inside ? 8 : 0);
    }
    cp_async_commit();
  };
  Loader<D, kBackwardRows, kTensorThreads, T>(rows_of(in.k, s), in.k.row, k0, d, thread).next(k, seen);
  Loader<D, kBackwardRows, kTensorThreads, T>(rows_of(in.v, s), in.v.row, k0, d, thread).next(v, seen);
  load(0, 0);

  T* const own = k + 16 * warp() * kPitch<D>;
  const Read<D, 1, T> left_k{own}, left_v{own + kOwn};
  Scores<1, C> sum_k, sum_v;
  clear<1, C>(sum_k), clear<1, C>(sum_v);

  int turn = 0;
  for (int q0 = 0; q0 < end; q0 += Cut::kQueries, turn ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all are done with the other one
    if (q0 + Cut::kQueries < end) load(q0 + Cut::kQueries, turn ^ 1);
    const T *const q = qg + 2 * kTile * turn, *const up = q + kTile;
    const Level* const level = level_tiles + turn * Cut::kQueries + lane() % 4 * 2;

    Scores<1, N> x, dp;
    multiply_rows<D, 1, N>(x, left_k, q);
    const float factor = Add::template apply<true, 1, N>(x, in, s, row0, q0);
    if (k0 + kBackwardRows > seen || q0 + Cut::kQueries > queries)
      each_score<1, N>(x, [&](float& score, int r, int c) { score = row0 + r < seen && q0 + c < queries ? score : unseen(); });
    multiply_rows<D, 1, N>(dp, left_v, up);
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Level of = level[8 * n + i % 2];
        x[0][n][i] = exp2_approx(fmaf(x[0][n][i], factor, -of.lse));
        dp[0][n][i] = x[0][n][i] * (dp[0][n][i] - of.delta);
      }
    if (dv.data) add_product<D, 1, N, C>(sum_v, x, up + column0);
    if (dk.data) add_product<D, 1, N, C>(sum_k, dp, q + column0);
  }

  cp_async_wait<0>();
  __syncthreads();  // without queries, K and V may still be on their way
  float factor[1][2];
  fill<1>(factor, in.scale);
  if (dk.data) write_rows<D>(own, sum_k, factor, rows_of(dk, s) + column0, dk.row, row0, keys, d - column0);
  fill<1>(factor, 1.0f);
  if (dv.data) write_rows<D>(own + kOwn, sum_v, factor, rows_of(dv, s) + column0, dv.row, row0, keys, d - column0);
}

template <class T, int D, class Add>
void launch_queries(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dq) {
  const unsigned n = blocks(in.outer * in.inner * in.heads, ceil_div(in.queries, kBackwardRows));
  launch(tensor_queries<T, D, Add>, Grid{dim3(n), dim3(kTensorThreads), QueriesCut<D>::template bytes<T>()}, in, g, levels, dq);
}
template <class T, int D, class Add>
void launch_keys(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dk, const AttentionRows<T>& dv) {
  const unsigned n = blocks(in.outer * in.inner * in.heads, ceil_div(in.keys, kBackwardRows));
  launch(tensor_keys<T, D, Add>, Grid{dim3(n, D / KeysCut<D>::kColumns), dim3(kTensorThreads), KeysCut<D>::template bytes<T>()}, in, g, levels, dk, dv);
}

template <class T>
void TensorCores<T>::backward_queries(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dq) {
  with_head_dim<32, 48, 64, 80, 96, 128, 256>(in.head_dim, [&](auto D) {
    if (in.bias.data || in.seen.data) launch_queries<T, D, Masked>(in, g, levels, dq);
    else launch_queries<T, D, Bare>(in, g, levels, dq);
  });
}
template <class T>
void TensorCores<T>::backward_keys(const AttentionInputs<T>& in, const AttentionRows<const T>& g, const Level* levels, const AttentionRows<T>& dk, const AttentionRows<T>& dv) {
  with_head_dim<32, 48, 64, 80, 96, 128, 256>(in.head_dim, [&](auto D) {
    if (in.bias.data || in.seen.data) launch_keys<T, D, Masked>(in, g, levels, dk, dv);
    else launch_keys<T, D, Bare>(in, g, levels, dk, dv);
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
