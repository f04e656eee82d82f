// dropout on a GPU: see ops/dropout.hpp.
//
//   dropout_mask   a thread owns a pack of 16 bytes, and draws the one or two Philox blocks of four numbers that belong to it
//
// Bound by memory: x is read and y written once. A block of four numbers costs forty integer instructions, 20 of them multiplications: two thirds of what
// a GPU has in the time that the memory needs for 16-bit numbers.
#include <framegrad/core/philox.hpp>
#include <framegrad/cuda/dropout.hpp>

#include <cmath>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

// grid [ceil(n / kPack / block)], block kPointwiseBlock. An element is dropped where the upper 24 of its 32 bits, the numerator of u, are below `limit`.
template <bool Packs, class T>
__global__ void dropout_mask(Index n, std::uint32_t limit, float keep, Philox philox, std::uint32_t stream, std::uint32_t step, const T* __restrict__ x, T* __restrict__ y) {
  constexpr int P = kPack<T>;
  static_assert(P % 4 == 0);
  const Index i = (Index(blockIdx.x) * blockDim.x + threadIdx.x) * P;
  if (i >= n) return;
  const bool whole = Packs && i + P <= n;
  Pack<T, P> v;
  if (whole) v = load_pack<P>(x + i);
#pragma unroll
  for (int k = 0; k < P / 4; ++k) {
    const Philox::Block bits = philox.block(stream, step, std::uint64_t(i) / 4 + std::uint64_t(k));
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float scale = bits[std::size_t(j)] >> 8 < limit ? 0.0f : keep;
      if (whole) v.v[4 * k + j] = from_float<T>(to_float(v.v[4 * k + j]) * scale);
      else if (i + 4 * k + j < n) y[i + 4 * k + j] = from_float<T>(to_float(x[i + 4 * k + j]) * scale);
    }
  }
  if (whole) store_pack(y + i, v);
}

template <class T>
void DropoutKernels<T>::mask(Index n, float p, std::uint64_t seed, std::uint32_t stream, std::uint32_t step, const T* x, T* y) {
  if (n == 0) return;
  const auto limit = std::uint32_t(std::ceil(double(p) * 0x1p24));  // k·2⁻²⁴ < p, for integers k
  const Grid grid = pointwise_grid((n + kPack<T> - 1) / kPack<T>);
  if (aligned16(x, y)) launch(dropout_mask<true, T>, grid, n, limit, 1 / (1 - p), Philox(seed), stream, step, x, y);
  else launch(dropout_mask<false, T>, grid, n, limit, 1 / (1 - p), Philox(seed), stream, step, x, y);
}

template struct DropoutKernels<float>;
template struct DropoutKernels<bf16>;
template struct DropoutKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
