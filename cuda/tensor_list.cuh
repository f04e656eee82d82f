// One launch over many tensors: a block owns a chunk, and finds its tensor in a table.
#pragma once

#include <framegrad/cuda/tensor_list.hpp>

#include "cuda/ptx.cuh"
#include "cuda/scratch.cuh"
#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kListBlock = 256;

/// The entry that has chunk `chunk`: the last that begins with it or before. Ten steps for a thousand tensors, through the caches, in each block.
template <class E>
__device__ __forceinline__ const E& entry_of(const E* entries, int n, Index chunk) {
  int low = 0, high = n - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (entries[middle].first_chunk <= chunk) low = middle;
    else high = middle - 1;
  }
  return entries[low];
}

/// f(width, i) for what this thread owns of the block's chunk: four neighbours from element i, or one.
template <class E, class F>
__device__ __forceinline__ void own_part(const E& e, Index chunk, F&& f) {
  const Index begin = (chunk - e.first_chunk) * kListChunk, end = begin + kListChunk < e.count ? begin + kListChunk : e.count;
  Index i = begin;
  if (e.packs) {
    const Index packs_end = end - (end - begin) % 4;
#pragma unroll 2
    for (i += Index(threadIdx.x) * 4; i < packs_end; i += kListBlock * 4) f(std::integral_constant<int, 4>{}, i);
    i = packs_end;
  }
  for (i += threadIdx.x; i < end; i += kListBlock) f(std::integral_constant<int, 1>{}, i);
}

/// Calls f with a zero of the type that low_dtype names.
template <class F>
__device__ __forceinline__ void visit_low(Dtype dtype, F&& f) {
  if (dtype == Dtype::bf16) f(bf16{});
  else if (dtype == Dtype::f16) f(half{});
  else f(float{});
}

/// The entries on the GPU, for as long as the object lives.
template <class E>
class Table {
 public:
  explicit Table(const std::vector<E>& entries) : memory_(Index(entries.size() * sizeof(E))) { copy_to_device(memory_.as<E>(), entries.data(), Index(entries.size() * sizeof(E))); }
  const E* data() const { return memory_.as<E>(); }

 private:
  Scratch memory_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
