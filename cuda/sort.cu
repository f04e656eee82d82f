// Sorting by key with CUB's radix sort, which is stable.
#include <cub/device/device_radix_sort.cuh>

#include <framegrad/core/backend.hpp>
#include <framegrad/cuda/indexing.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

void sort_pairs(std::int64_t* keys, std::int64_t* values, Index count, Index bound) {
  int bits = 1;
  while (bits < 63 && (Index(1) << bits) < bound) ++bits;
  const int device = current_device();
  auto* sorted = static_cast<std::int64_t*>(allocate(count * 16, device));
  cub::DoubleBuffer<std::int64_t> k(keys, sorted), v(values, sorted + count);
  const auto stream = static_cast<cudaStream_t>(current_stream());
  std::size_t bytes = 0;
  check_call(cub::DeviceRadixSort::SortPairs(nullptr, bytes, k, v, count, 0, bits, stream), "sorting");
  void* scratch = allocate(Index(bytes), device);
  check_call(cub::DeviceRadixSort::SortPairs(scratch, bytes, k, v, count, 0, bits, stream), "sorting");
  if (k.Current() != keys) copy_on_device(keys, k.Current(), count * 8), copy_on_device(values, v.Current(), count * 8);
  release(scratch, Index(bytes), device);
  release(sorted, count * 16, device);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
