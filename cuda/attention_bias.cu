// The gradient of attention's bias, by FMA in f32, for every type.
//
//   plain_bias   a block owns 64 × 64 of dbias and walks a chunk of the sequences and tiles that it was repeated over
//   add_chunks   a thread owns a number of dbias and adds the chunks in their order
//
// Bound by FMA: 4·N·M·d operations a sequence.
#include <algorithm>

#include "cuda/attention_plain.cuh"
#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {
namespace {

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
    score_gradients(x, dp, in, added, levels + first_query(in, s), q0, k0, seen);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) total[i][j] += x[i][j];
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

}  // namespace

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

template void Plain<float>::backward_bias(const AttentionInputs<float>&, const AttentionRows<const float>&, const Level*, const AttentionPlane<float>&);
template void Plain<bf16>::backward_bias(const AttentionInputs<bf16>&, const AttentionRows<const bf16>&, const Level*, const AttentionPlane<bf16>&);
template void Plain<half>::backward_bias(const AttentionInputs<half>&, const AttentionRows<const half>&, const Level*, const AttentionPlane<half>&);

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
