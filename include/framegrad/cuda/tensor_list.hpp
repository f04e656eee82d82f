// What kernels are told that go over many tensors in one launch: a table with an entry a tensor, copied to the GPU for the launch.
#pragma once

#include <vector>

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Elements of one block: its loads run for some microseconds, and a model's smallest tensors still spread over a GPU.
inline constexpr Index kListChunk = 8192;

/// The part of every entry that says which blocks are this tensor's. `low` in an entry holds numbers of type `low_dtype`.
struct ListedTensor {
  Index count = 0, first_chunk = 0;
  Dtype low_dtype = Dtype::f32;
  bool packs = false;  // every pointer is a multiple of 16 bytes (of 8 for 16-bit numbers)
};

/// Numbers the entries' chunks; → how many there are.
template <class E>
Index number_chunks(std::vector<E>& entries) {
  Index chunks = 0;
  for (E& e : entries) e.first_chunk = chunks, chunks += (e.count + kListChunk - 1) / kListChunk;
  return chunks;
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
