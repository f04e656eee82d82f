// Picking and adding by index: index_select, gather, scatter_add, embedding and their gradients.
//
//   pick_rows, pick_elements   a thread owns an element of y
//   add_sorted                 a thread owns an element of y and adds what belongs there, in order
//
// Adding is deterministic: (destination, entry) pairs are sorted by destination first, stably, and each destination finds its run by two binary
// searches. Bound by memory; sorting moves 16 bytes an entry a few times.
#include <framegrad/core/backend.hpp>
#include <framegrad/cuda/indexing.hpp>

#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"
#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

inline constexpr int kIndexBlock = 256;
Grid index_grid(Index n) { return {dim3(unsigned((n + kIndexBlock - 1) / kIndexBlock)), dim3(kIndexBlock)}; }

template <class T>
__device__ T nothing() {
  return from_float<T>(nanf(""));
}

// grid [ceil(outer·count·inner / block)], block kIndexBlock: all of them
template <class T>
__global__ void pick_rows(const T* __restrict__ x, const std::int64_t* __restrict__ index, T* __restrict__ y, Index n, Index count, Index inner, Index total) {
  const Index i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= total) return;
  const Index row = i / inner, at = index[row % count];
  y[i] = at >= 0 && at < n ? x[(row / count * n + at) * inner + i % inner] : nothing<T>();
}
template <class T>
__global__ void pick_elements(const T* __restrict__ x, const std::int64_t* __restrict__ index, T* __restrict__ y, Index n, Index count, Index inner, Index total) {
  const Index i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= total) return;
  const Index at = index[i];
  y[i] = at >= 0 && at < n ? x[(i / inner / count * n + at) * inner + i % inner] : nothing<T>();
}

/// Keys [count]: the destination row of each entry; `n` itself for an index that names none.
__global__ void row_keys(const std::int64_t* __restrict__ index, Index n, Index count, std::int64_t* __restrict__ keys, std::int64_t* __restrict__ values) {
  const Index i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= count) return;
  keys[i] = index[i] >= 0 && index[i] < n ? index[i] : n;
  values[i] = i;
}
/// Keys [outer·count·inner]: the destination element.
__global__ void element_keys(const std::int64_t* __restrict__ index, Index n, Index count, Index inner, Index total, Index none, std::int64_t* __restrict__ keys,
                             std::int64_t* __restrict__ values) {
  const Index i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= total) return;
  const Index at = index[i];
  keys[i] = at >= 0 && at < n ? (i / inner / count * n + at) * inner + i % inner : none;
  values[i] = i;
}

__device__ Index first_not_below(const std::int64_t* keys, Index count, Index key) {
  Index low = 0, high = count;
  while (low < high) {
    const Index middle = (low + high) / 2;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

// y [outer, n, width]: destination d of outer part o adds from src [outer, entries, width] what its keys name
template <class T>
__global__ void add_sorted(const T* __restrict__ base, const T* __restrict__ src, const std::int64_t* __restrict__ keys, const std::int64_t* __restrict__ values, T* __restrict__ y,
                           Index n, Index width, Index entries, Index src_rows, Index total) {
  const Index i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= total) return;
  const Index d = i / width % n, outer = i / width / n, column = i % width;
  float sum = base ? to_float(base[i]) : 0.0f;
  for (Index e = first_not_below(keys, entries, d); e < entries && keys[e] == d; ++e) sum += to_float(src[(outer * src_rows + values[e]) * width + column]);
  y[i] = from_float<T>(sum);
}

}  // namespace

template <class T>
void IndexKernels<T>::pick_rows(const T* x, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  const Index total = outer * count * inner;
  if (total) launch(cuda::pick_rows<T>, index_grid(total), x, index, y, n, count, inner, total);
}
template <class T>
void IndexKernels<T>::pick_elements(const T* x, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  const Index total = outer * count * inner;
  if (total) launch(cuda::pick_elements<T>, index_grid(total), x, index, y, n, count, inner, total);
}
template <class T>
void IndexKernels<T>::add_rows(const T* dy, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  const Index total = outer * n * inner;
  if (total == 0) return;
  if (count == 0) return fill_zero(y, total * Index(sizeof(T)));
  const Scratch keys(count * 8), values(count * 8);
  launch(row_keys, index_grid(count), index, n, count, keys.as<std::int64_t>(), values.as<std::int64_t>());
  sort_pairs(keys.as<std::int64_t>(), values.as<std::int64_t>(), count, n + 1);
  launch(add_sorted<T>, index_grid(total), static_cast<const T*>(nullptr), dy, keys.as<std::int64_t>(), values.as<std::int64_t>(), y, n, inner, count, count, total);
}
template <class T>
void IndexKernels<T>::add_elements(const T* base, const T* src, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  const Index total = outer * n * inner, entries = outer * count * inner;
  if (total == 0) return;
  const Scratch keys((entries + 1) * 8), values((entries + 1) * 8);
  if (entries) {
    launch(element_keys, index_grid(entries), index, n, count, inner, entries, total, keys.as<std::int64_t>(), values.as<std::int64_t>());
    sort_pairs(keys.as<std::int64_t>(), values.as<std::int64_t>(), entries, total + 1);
  }
  launch(add_sorted<T>, index_grid(total), base, src, keys.as<std::int64_t>(), values.as<std::int64_t>(), y, total, Index(1), entries, entries, total);
}

template struct IndexKernels<float>;
template struct IndexKernels<bf16>;
template struct IndexKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
