// AdamW's step on a GPU: see optim/adamw.hpp.
//
//   adamw   a block owns 8192 elements of one tensor, a thread four neighbours at a time
//
// Bound by memory: 28 bytes an f32 weight (g, m, v, w in, m, v, w out), 30 a 16-bit one.
#include <framegrad/cuda/adamw.hpp>

#include "cuda/tensor_list.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

// grid [chunks of all tensors], block kListBlock
__global__ void __launch_bounds__(kListBlock) adamw(const AdamWTensor* __restrict__ tensors, int n) {
  const AdamWTensor e = entry_of(tensors, n, Index(blockIdx.x));
  visit_low(e.low_dtype, [&](auto low) {
    using T = decltype(low);
    own_part(e, Index(blockIdx.x), [&](auto width, Index i) {
      constexpr int W = width;
      const auto g = load_pack<W>(e.grad + i);
      auto m = load_pack<W>(e.m + i), v = load_pack<W>(e.v + i), w = load_pack<W>(e.w + i);
#pragma unroll
      for (int j = 0; j < W; ++j) {
        const float gj = g.v[j] * e.scale;
        m.v[j] = m.v[j] * e.beta1 + gj * e.rest1;
        v.v[j] = v.v[j] * e.beta2 + gj * gj * e.rest2;
        w.v[j] = w.v[j] * e.keep - e.rate * m.v[j] / (sqrtf(v.v[j] * e.correction2) + e.eps);
      }
      store_pack(e.m + i, m), store_pack(e.v + i, v), store_pack(e.w + i, w);
      if constexpr (!std::is_same_v<T, float>) {
        Pack<T, W> rounded;
#pragma unroll
        for (int j = 0; j < W; ++j) rounded.v[j] = from_float<T>(w.v[j]);
        store_pack(static_cast<T*>(e.low) + i, rounded);
      }
    });
  });
}

void adamw_step(std::vector<AdamWTensor>& tensors) {
  const Index chunks = number_chunks(tensors);
  if (chunks == 0) return;
  for (auto& e : tensors) e.packs = aligned16(e.grad, e.m, e.v, e.w) && reinterpret_cast<std::uintptr_t>(e.low) % 8 == 0;
  const Table<AdamWTensor> table(tensors);
  launch(adamw, {dim3(unsigned(chunks)), dim3(kListBlock)}, table.data(), int(tensors.size()));
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
