// The moving average of weights on a GPU: see optim/ema.hpp.
//
//   ema   a block owns 8192 elements of one tensor, a thread four neighbours at a time
//
// Bound by memory: 12 bytes an f32 weight (average and weight in, average out), 10 a 16-bit one.
#include <framegrad/cuda/ema.hpp>

#include "cuda/tensor_list.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

// grid [chunks of all tensors], block kListBlock
__global__ void __launch_bounds__(kListBlock) ema(const EmaTensor* __restrict__ tensors, int n, float decay, float rest) {
  const EmaTensor e = entry_of(tensors, n, Index(blockIdx.x));
  visit_low(e.low_dtype, [&](auto low) {
    using T = decltype(low);
    own_part(e, Index(blockIdx.x), [&](auto width, Index i) {
      constexpr int W = width;
      auto a = load_pack<W>(e.average + i);
      const auto w = load_pack<W>(static_cast<const T*>(e.low) + i);
#pragma unroll
      for (int j = 0; j < W; ++j) a.v[j] = a.v[j] * decay + to_float(w.v[j]) * rest;
      store_pack(e.average + i, a);
    });
  });
}

void ema_update(std::vector<EmaTensor>& tensors, float decay, float rest) {
  const Index chunks = number_chunks(tensors);
  if (chunks == 0) return;
  for (auto& e : tensors) e.packs = aligned16(e.average, static_cast<const char*>(e.low));
  const Table<EmaTensor> table(tensors);
  launch(ema, {dim3(unsigned(chunks)), dim3(kListBlock)}, table.data(), int(tensors.size()), decay, rest);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
