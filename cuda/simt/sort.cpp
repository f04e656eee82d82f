// What stands for CUB's radix sort where the kernels run on the CPU.
#include <algorithm>
#include <numeric>
#include <vector>

#include <cuda/simt/record.hpp>
#include <framegrad/cuda/indexing.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

namespace {
void sort_now(std::int64_t* keys, std::int64_t* values, Index count) {
  std::vector<Index> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), Index(0));
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return keys[a] < keys[b]; });
  const std::vector<std::int64_t> k(keys, keys + count), v(values, values + count);
  for (Index i = 0; i < count; ++i) keys[i] = k[std::size_t(order[std::size_t(i)])], values[i] = v[std::size_t(order[std::size_t(i)])];
}
}  // namespace

void sort_pairs(std::int64_t* keys, std::int64_t* values, Index count, Index) {
  simt::queue([=] { sort_now(keys, values, count); });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
