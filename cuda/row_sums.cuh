// Sums over rows, column by column: gradients of what rows share (gains, biases, what a condition says of a sample).
//
//   column_tiles  a thread owns a pack of columns and every sixteenth row of a chunk; the sixteen are added in shared memory
//   add_chunks    a warp owns 32 columns, sixteen of them the chunks; the sixteen are added in shared memory
//
// The chunks' sums lie in [groups, chunks, sums, C]. Chunks have sizes that follow from the tensor's alone and everything is added in a fixed order,
// so the bits don't depend on the GPU. The second launch reads what the first just wrote, from L2.
#pragma once

#include <algorithm>

#include "cuda/rows.cuh"
#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Rows that share a partial sum: about a thousand chunks fill a GPU, and with 8 rows what is written for them is a sixth of what is read.
inline Index rows_a_chunk(Index groups, Index rows, Index least) {
  return std::max(least, std::min<Index>((groups * rows + 1023) / 1024, 1024));
}

/// Where a group's sum of a column goes.
template <class T>
struct SumTarget {
  T* to = nullptr;  // null: nobody wants it
  Index group_stride = 0, stride = 1;
};

inline constexpr int kSumLanes = 16;

// grid [ceil(C / 32), groups · sums], block [32, kSumLanes]
template <class T>
__global__ void add_chunks(const float* __restrict__ partial,  // [groups, chunks, sums, C]
                           Index chunks, int sums, int C, SumTarget<T> first, SumTarget<T> second) {
  __shared__ float cells[kSumLanes][32];
  const int c = int(blockIdx.x) * 32 + int(threadIdx.x), which = int(blockIdx.y) % sums;
  const Index group = int(blockIdx.y) / sums, part = (chunks + kSumLanes - 1) / kSumLanes, begin = threadIdx.y * part;
  const Index end = begin + part < chunks ? begin + part : chunks;
  float sum = 0.0f;
  if (c < C) {
    const float* at = partial + ((group * chunks + begin) * sums + which) * C + c;
#pragma unroll 8
    for (Index k = begin; k < end; ++k, at += Index(sums) * C) sum += *at;
  }
  cells[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || c >= C) return;
#pragma unroll
  for (int k = 1; k < kSumLanes; ++k) sum += cells[k][threadIdx.x];
  if (which == 0 && first.to) first.to[group * first.group_stride + c * first.stride] = from_float<T>(sum);
  if (which == 1 && second.to) second.to[group * second.group_stride + c * second.stride] = from_float<T>(sum);
}

/// sums: 1 or 2. A grid has 65535 rows at most; more groups take several launches.
template <class T>
void launch_add_chunks(const float* partial, Index groups, Index chunks, int sums, Index C, SumTarget<T> first, SumTarget<T> second) {
  constexpr Index kMost = 32767;
  for (Index begin = 0; begin < groups; begin += kMost) {
    const Index n = std::min(kMost, groups - begin);
    const auto from = [&](SumTarget<T> t) { return SumTarget<T>{t.to ? t.to + begin * t.group_stride : nullptr, t.group_stride, t.stride}; };
    launch(add_chunks<T>, {dim3(unsigned((C + 31) / 32), unsigned(sums * n)), dim3(32, kSumLanes)}, partial + begin * chunks * sums * C, chunks, sums, int(C), from(first),
           from(second));
  }
}

inline constexpr int kTilePacks = 16, kTileRows = 16;  // a run of 256 bytes in each row; half the waste of 32 where C is no multiple

// F::P columns are a pack. shared = f.begin(group, c) is what the rows share; then for each row f.use(row, c, shared, f.load(row, c), first, second) adds
// to the columns' sums. The next row is on its way while this one is worked on.
// grid [groups · chunks, ceil(C / (16·P))], block [16, 16]; partial may be null
template <class F>
__global__ void __launch_bounds__(kTilePacks * kTileRows, 2) column_tiles(const F f, float* __restrict__ partial,  // [groups, chunks, sums, C]
                                                                       Index rows, Index chunks, Index chunk, int sums, int C) {
  constexpr int P = F::P;
  constexpr int kColumns = kTilePacks * P;
  __shared__ float cells[kTileRows][2 * kColumns + kTilePacks];  // the rest keeps a warp's two rows in different banks
  const int c = (int(blockIdx.y) * kTilePacks + int(threadIdx.x)) * P;
  const Index group = Index(blockIdx.x) / chunks, begin = Index(blockIdx.x) % chunks * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float sum[2][P] = {};
  if (Index row = begin + threadIdx.y; c < C && row < end) {
    const auto shared = f.begin(group, c);
    auto next = f.load(group * rows + row, c);
    for (; row < end; row += kTileRows) {
      const auto now = next;
      if (row + kTileRows < end) next = f.load(group * rows + row + kTileRows, c);
      f.use(group * rows + row, c, shared, now, sum[0], sum[1]);
    }
  }
  if (!partial) return;
  // Column j of pack x lies at j·16 + x, so that a warp's writes and reads meet no bank twice.
#pragma unroll
  for (int s = 0; s < 2; ++s)
#pragma unroll
    for (int j = 0; j < P; ++j) cells[threadIdx.y][s * kColumns + j * kTilePacks + threadIdx.x] = sum[s][j];
  __syncthreads();
  for (int i = int(threadIdx.y) * kTilePacks + int(threadIdx.x); i < sums * kColumns; i += kTileRows * kTilePacks) {
    const int s = i / kColumns, cell = i % kColumns;
    const int column = (int(blockIdx.y) * kTilePacks + cell % kTilePacks) * P + cell / kTilePacks;
    if (column >= C) continue;
    float total = cells[0][i];
#pragma unroll
    for (int k = 1; k < kTileRows; ++k) total += cells[k][i];
    partial[(Index(blockIdx.x) * sums + s) * C + column] = total;
  }
}

/// f over [groups, rows, C], and its sums (0 to 2 of them) to first and second.
template <class T, class F>
void launch_columns(const F& f, Index groups, Index rows, Index C, int sums, SumTarget<T> first, SumTarget<T> second) {
  const Index chunk = rows_a_chunk(groups, rows, 4 * kTileRows), chunks = (rows + chunk - 1) / chunk;
  const Scratch partial(groups * chunks * sums * C * 4);
  constexpr Index kTile = kTilePacks * F::P;
  launch(column_tiles<F>, {dim3(unsigned(groups * chunks), unsigned((C + kTile - 1) / kTile)), dim3(kTilePacks, kTileRows)}, f, partial.as<float>(), rows, chunks, chunk, sums,
         int(C));
  if (sums) launch_add_chunks(partial.as<float>(), groups, chunks, sums, C, first, second);
}

/// The sums of no rows.
template <class T>
void clear_sums(Index groups, Index C, T* to) {
  if (to) fill_zero(to, groups * C * Index(sizeof(T)));
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
