// attention forward on tensor cores: the FlashAttention-2 scheme (Dao 2023, arXiv:2307.08691, algorithm 1).
//
//   tensor_forward   a block of four warps owns 64·M queries of a sequence, a warp 16·M; it walks the keys, K and V double-buffered by cp.async
//
// Scores, probabilities and output stay in registers. Bound by the tensor cores: 4·N·M·d operations, 2·(2·N + 2·M)·d bytes at least; a tile of keys is
// read from the L2 cache once for 128 queries: 128 operations a byte. A warp with 32 queries reads 128 bytes of shared memory for each mma of 4096
// operations, half of what a multiprocessor gives while its tensor cores take that mma.
//
//   Bare, bf16, CUDA 13    head_dim to   32   48   64   80   96  128  256
//   registers, sm_80                    184  214  245  234  208  250  238    nothing spilled, two blocks a multiprocessor
//   registers, sm_90                    183  215  245  242  213  251  242    the same
#pragma once

#include "cuda/attention_mma.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {

/// How a head_dim up to D is cut: 32 queries a warp read each fragment of K and V half as often; the sums of y (16·M·D / 32 a thread) must leave
/// registers for the scores.
template <int D, class Add>
struct ForwardCut {
  static constexpr int M = D <= 128 && !Add::kAdds ? 2 : 1;
  static constexpr int kQueries = 64 * M, kKeys = D <= 80 ? 64 : 32;
  static constexpr bool kHold = D <= 64 && !Add::kAdds;  // Q's fragments stay in registers
  template <class T> using Left = std::conditional_t<kHold, Held<D, M, T>, Read<D, M, T>>;
  template <class T> static constexpr std::size_t bytes() { return std::size_t(kQueries + 4 * kKeys) * kPitch<D> * sizeof(T); }
};

// grid [sequences · ceil(queries / kQueries)], block 128, shared ForwardCut::bytes
template <class T, int D, class Add>
__global__ void __launch_bounds__(kTensorThreads) tensor_forward(AttentionInputs<T> in, AttentionRows<T> y, float* __restrict__ lse) {
  using Cut = ForwardCut<D, Add>;
  constexpr int M = Cut::M, N = Cut::kKeys / 8, C = D / 8, kTile = Cut::kKeys * kPitch<D>;
  T* const q = dynamic_shared<T>();
  T* const kv = q + Cut::kQueries * kPitch<D>;  // K, V; K, V

  const int queries = int(in.queries), d = int(in.head_dim), tiles = (queries + Cut::kQueries - 1) / Cut::kQueries;
  const Sequence s = sequence(in, int(blockIdx.x) / tiles);
  const int q0 = int(blockIdx.x % unsigned(tiles)) * Cut::kQueries, row0 = q0 + 16 * M * warp(), seen = seen_keys(in, s);
  Loader<D, Cut::kKeys, kTensorThreads, T> ks(rows_of(in.k, s), in.k.row, 0, d, int(threadIdx.x)), vs(rows_of(in.v, s), in.v.row, 0, d, int(threadIdx.x));
  const auto load = [&](T* to) {
    ks.next(to, seen), vs.next(to + kTile, seen);
    cp_async_commit();
  };
  Loader<D, Cut::kQueries, kTensorThreads, T>(rows_of(in.q, s), in.q.row, q0, d, int(threadIdx.x)).next(q, queries);
  load(kv);

  T* const own = q + 16 * M * warp() * kPitch<D>;
  typename Cut::template Left<T> left;
  Softmax<M> softmax;
  Scores<M, C> o;
  clear<M, C>(o);

  int turn = 0;
  for (int k0 = 0; k0 < seen; k0 += Cut::kKeys, turn ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is here for all, and all are done with the other one
    if (k0 == 0) left.load(own);
    if (k0 + Cut::kKeys < seen) load(kv + 2 * kTile * (turn ^ 1));
    const T *const k = kv + 2 * kTile * turn, *const v = k + kTile;

    Scores<M, N> x;
    multiply_rows<D, M, N>(x, left, k);
    const float factor = Add::template apply<false, M, N>(x, in, s, row0, k0);
    if (k0 + Cut::kKeys > seen) each_score<M, N>(x, [&](float& score, int, int c) { score = k0 + c < seen ? score : unseen(); });
    softmax.step(x, factor, o);
    add_product<D, M, N, C>(o, x, v);
  }

  float inverse[M][2];
  softmax.finish(Add::kAdds ? 1.0f : in.scale * kLog2E, inverse, lse ? lse + first_query(in, s) : nullptr, row0, queries);
  cp_async_wait<0>();
  __syncthreads();  // without keys, Q may still be on its way
  write_rows<D>(own, o, inverse, rows_of(y, s), y.row, row0, queries, d);
}

template <class T, int D, class Add>
void launch_forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse) {
  using Cut = ForwardCut<D, Add>;
  launch(tensor_forward<T, D, Add>, Grid{dim3(blocks(in.outer * in.inner * in.heads, ceil_div(in.queries, Cut::kQueries))), dim3(kTensorThreads), Cut::template bytes<T>()}, in, y, lse);
}

template <class T>
void TensorCores<T>::forward(const AttentionInputs<T>& in, const AttentionRows<T>& y, float* lse) {
  with_head_dim<32, 48, 64, 80, 96, 128, 256>(in.head_dim, [&](auto D) {
    if (in.bias.data || in.seen.data) launch_forward<T, D, Masked>(in, y, lse);
    else launch_forward<T, D, Bare>(in, y, lse);
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
