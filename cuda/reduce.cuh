// Reductions over any axes.
//
//   by_rows      the terms are neighbours in memory: a warp owns a result and a chunk of its terms, and reads packs of 16 bytes where all are aligned
//   by_columns   the results are: a thread owns one, its warp reads neighbours
//   by_tiles     the results are, in packs of 16 bytes, and the terms are rows: the tiles of row_sums.cuh
//
// Bound by memory: x is read once. Chunks have a fixed number of terms and are added in order by a second launch of the same kernels over their
// sums, so the bits don't depend on the GPU. Sums are f32; a variance is summed about the mean, in a second read of x.
#pragma once

#include <framegrad/core/backend.hpp>
#include <framegrad/cuda/reduce.hpp>

#include "cuda/pointwise.cuh"
#include "cuda/row_sums.cuh"
#include "cuda/warp.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kReduceBlock = 256;
inline constexpr Index kRowChunk = 4096;     // terms of a warp: 128 a lane
inline constexpr Index kColumnChunk = 256;   // terms of a thread

struct Plain {
  __device__ __forceinline__ float operator()(float x, float) const { return x; }
};
struct Squared {
  __device__ __forceinline__ float operator()(float x, float mean) const { return (x - mean) * (x - mean); }
};

/// Where the sum of (result, chunk) goes: to y itself, or as f32 to partial [chunks, results] if there are several chunks.
template <class Y>
struct Target {
  Y* y;
  float* partial;
  float scale;
  __device__ __forceinline__ void store(Index result, Index chunk, Index results, Index at, float sum) const {
    if (partial) partial[chunk * results + result] = sum;
    else y[at] = from_float<Y>(sum * scale);
  }
};

// grid [ceil(results / warps a block), chunks], block kReduceBlock; P neighbours at once, r.terms in packs of them
template <int P, class I, class Term, class X, class Y>
__global__ void reduce_rows(Reduction r, const X* __restrict__ x, const float* __restrict__ mean, Target<Y> target) {
  const Index result = Index(blockIdx.x) * (kReduceBlock / 32) + threadIdx.x / 32, chunk = blockIdx.y;
  if (result >= r.results.count) return;  // the whole warp leaves together
  Index at[2];
  locate<I>(r.results, I(result), at);
  const float about = mean ? mean[result] : 0.0f;
  const Index end = min(r.terms.count, (chunk + 1) * (kRowChunk / P));
  float sum = 0.0f;
#pragma unroll 4
  for (Index t = chunk * (kRowChunk / P) + threadIdx.x % 32; t < end; t += 32) {
    Index term[1];
    locate<I>(r.terms, I(t), term);
    const auto v = load_pack<P>(x + at[0] + term[0]);
#pragma unroll
    for (int j = 0; j < P; ++j) sum += Term{}(to_float(v.v[j]), about);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) target.store(result, chunk, r.results.count, at[1], sum);
}

// grid [ceil(results / block), chunks], block kReduceBlock
template <class I, class Term, class X, class Y>
__global__ void reduce_columns(Reduction r, const X* __restrict__ x, const float* __restrict__ mean, Target<Y> target) {
  const Index result = Index(blockIdx.x) * kReduceBlock + threadIdx.x, chunk = blockIdx.y;
  if (result >= r.results.count) return;
  Index at[2];
  locate<I>(r.results, I(result), at);
  const float about = mean ? mean[result] : 0.0f;
  const Index end = min(r.terms.count, (chunk + 1) * kColumnChunk);
  float sum = 0.0f;
  for (Index t = chunk * kColumnChunk; t < end; ++t) {
    Index term[1];
    locate<I>(r.terms, I(t), term);
    sum += Term{}(to_float(x[at[0] + term[0]]), about);
  }
  target.store(result, chunk, r.results.count, at[1], sum);
}

/// What column_tiles (row_sums.cuh) adds up: x seen as [groups · rows, C].
template <class Term, class X>
struct TermRows {
  static constexpr int P = kPack<X>;
  const X* x;
  const float* mean;  // [groups, C], or null
  Index row_stride;
  int C;
  float scale;
  struct Shared { Pack<float, P> mean; };
  __device__ __forceinline__ Shared begin(Index group, int c) const {
    Shared s{};
    if (mean)
      for (int j = 0; j < P; ++j) s.mean.v[j] = mean[group * C + c + j];
    return s;
  }
  __device__ __forceinline__ Pack<X, P> load(Index row, int c) const { return load_pack<P>(x + row * row_stride + c); }
  __device__ __forceinline__ void use(Index, int, const Shared& s, const Pack<X, P>& v, float (&first)[P], float (&)[P]) const {
#pragma unroll
    for (int j = 0; j < P; ++j) first[j] += scale * Term{}(to_float(v.v[j]), s.mean.v[j]);
  }
};

/// Whether r's results are groups and the last axis of [groups, rows, C], in whole packs, and so many that a tile has work.
template <int P>
bool by_tiles(const Reduction& r) {
  const auto& [of, terms] = r;
  if (of.rank < 1 || of.rank > 2 || terms.rank != 1 || terms.count < kTileRows || of.count >= (Index(1) << 31)) return false;
  const int last = of.rank - 1;
  if (of.stride[0][last] != 1 || of.size[last] % P || terms.stride[0][0] % P) return false;
  if (of.size[last] > Index(65535) * kTilePacks * P) return false;  // a grid has no more rows of blocks
  // Many groups of few columns would leave most of each tile idle.
  return last == 0 || (of.stride[0][0] == terms.count * terms.stride[0][0] && 2 * of.size[last] >= kTilePacks * P);
}
/// r's terms in packs, if all are aligned (x is).
template <int P>
std::optional<Walk<1>> term_packs(const Reduction& r) {
  Walk<1> packs = r.terms;
  const int last = packs.rank - 1;
  if (packs.rank == 0 || packs.stride[0][last] != 1 || packs.size[last] % P) return std::nullopt;
  for (int a = 0; a < last; ++a)
    if (packs.stride[0][a] % P) return std::nullopt;
  for (int a = 0; a < r.results.rank; ++a)
    if (r.results.stride[0][a] % P) return std::nullopt;
  packs.size[last] /= P, packs.stride[0][last] = P, packs.count /= P;
  return packs;
}

template <class Term, class X, class Y>
void reduce(const Reduction& r, const X* x, const float* mean, Y* y, float scale) {
  constexpr int P = kPack<X>;
  if (aligned16(x) && by_tiles<P>(r)) {
    const auto& [of, terms] = r;
    const Index C = of.size[of.rank - 1], groups = of.count / C;
    return launch_columns<Y>(TermRows<Term, X>{x, mean, terms.stride[0][0], int(C), scale}, groups, terms.count, C, 1,
                             SumTarget<Y>{y, of.rank == 2 ? of.stride[1][0] : 0, of.stride[1][of.rank - 1]}, {});
  }
  const Index results = r.results.count;
  if (results == 0) return;
  const bool by_rows = r.terms.rank == 0 || r.terms.stride[0][r.terms.rank - 1] == 1;
  const Index chunk = by_rows ? kRowChunk : kColumnChunk, chunks = r.terms.count > chunk ? (r.terms.count + chunk - 1) / chunk : 1;
  if (chunks > 65535) throw ShapeError(text("reduce: ", r.terms.count, " terms a result; at most ", 65535 * chunk, " are possible"));
  float* partial = chunks > 1 ? static_cast<float*>(allocate(chunks * results * 4, current_device())) : nullptr;
  const Target<Y> target{y, partial, scale};
  const Index a_block = by_rows ? kReduceBlock / 32 : kReduceBlock;
  const Grid grid{dim3(unsigned((results + a_block - 1) / a_block), unsigned(chunks)), dim3(kReduceBlock)};
  const bool small = results < (Index(1) << 31) && r.terms.count < (Index(1) << 31);
  if (const auto packs = term_packs<P>(r); packs && small && aligned16(x)) launch(reduce_rows<P, int, Term, X, Y>, grid, Reduction{r.results, *packs}, x, mean, target);
  else if (by_rows && small) launch(reduce_rows<1, int, Term, X, Y>, grid, r, x, mean, target);
  else if (by_rows) launch(reduce_rows<1, Index, Term, X, Y>, grid, r, x, mean, target);
  else if (small) launch(reduce_columns<int, Term, X, Y>, grid, r, x, mean, target);
  else launch(reduce_columns<Index, Term, X, Y>, grid, r, x, mean, target);
  if (!partial) return;
  // partial [chunks, results] → y
  Reduction second;
  second.results = r.results;
  Index step = 1;
  for (int a = r.results.rank - 1; a >= 0; --a) second.results.stride[0][a] = step, step *= r.results.size[a];
  second.terms.push(chunks, {results});
  reduce<Plain>(second, static_cast<const float*>(partial), nullptr, y, scale);
  release(partial, chunks * results * 4, current_device());
}

template <class T>
struct SpreadTerm {
  float scale;
  bool about_mean;
  __device__ __forceinline__ T operator()(T g, T x, float mean) const {
    return from_float<T>(to_float(g) * scale * (about_mean ? to_float(x) - mean : 1.0f));
  }
};
template <class T>
struct SpreadSum {
  float scale;
  __device__ __forceinline__ T operator()(T g, T, T) const { return from_float<T>(to_float(g) * scale); }
};

template <class T>
void ReduceKernels<T>::sum(const Reduction& r, const T* x, T* y, float scale) {
  reduce<Plain>(r, x, nullptr, y, scale);
}
template <class T>
void ReduceKernels<T>::var(const Reduction& r, const T* x, float* mean, T* y, float scale) {
  Reduction dense = r;
  Index step = 1;
  for (int a = r.results.rank - 1; a >= 0; --a) dense.results.stride[1][a] = step, step *= r.results.size[a];
  reduce<Plain>(dense, x, nullptr, mean, 1.0f / float(r.terms.count));
  reduce<Squared>(r, x, mean, y, scale);
}
template <class T>
void ReduceKernels<T>::spread(const Walk<3>& w, T* dx, const T* g, const T* x, const float* mean, float scale) {
  if (x) return launch_walk(w, dx, g, x, mean, SpreadTerm<T>{scale, true});
  launch_walk(w.first(), dx, g, static_cast<const T*>(nullptr), static_cast<const T*>(nullptr), SpreadSum<T>{scale});
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
