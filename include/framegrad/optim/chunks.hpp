// for_chunks — one parallel loop over many tensors: a model has hundreds, most too small to be worth a loop of their own.
#pragma once

#include <vector>

#include <framegrad/core/parallel.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// A piece of one tensor of a list, in elements; `index` counts the pieces.
struct Chunk {
  Index tensor, begin, count, index;
};

/// Tensors of these sizes cut into pieces of at most `length`, in order: the same pieces for any number of threads.
inline std::vector<Chunk> cut_into_chunks(const std::vector<Index>& counts, Index length) {
  std::vector<Chunk> chunks;
  for (std::size_t t = 0; t < counts.size(); ++t)
    for (Index begin = 0; begin < counts[t]; begin += length)
      chunks.push_back({Index(t), begin, counts[t] - begin < length ? counts[t] - begin : length, Index(chunks.size())});
  return chunks;
}

/// f(chunk) for each; `cost`: nanoseconds an element.
template <class F>
void for_chunks(const std::vector<Chunk>& chunks, double cost, F&& f) {
  Index elements = 0;
  for (const Chunk& c : chunks) elements += c.count;
  parallel_for(Index(chunks.size()), chunks.empty() ? 0 : cost * double(elements) / double(chunks.size()), [&](Range range) {
    for (Index i = range.begin; i < range.end; ++i) f(chunks[std::size_t(i)]);
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI
