// mse on a GPU: see ops/mse.hpp.
//
//   chunk_squares   a block owns 8192 numbers of a and b
//   mean_of_chunks  one block adds the chunks' sums
//   mse_slope       a thread owns a pack of 16 bytes of each
//
// Bound by memory: a and b are read once forward; they are read once and da and db written once backward. The order of additions follows from n alone.
#include <framegrad/cuda/mse.hpp>

#include "cuda/pointwise.cuh"
#include "cuda/scratch.cuh"
#include "cuda/warp.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {
inline constexpr int kMseBlock = 256;
inline constexpr Index kMseChunk = 8192;
}  // namespace

// grid [ceil(n / kMseChunk)], block kMseBlock
template <int P, class T>
__global__ void chunk_squares(Index n, const T* __restrict__ a, const T* __restrict__ b, float* __restrict__ partial) {
  const Index begin = Index(blockIdx.x) * kMseChunk, end = begin + kMseChunk < n ? begin + kMseChunk : n, packs_end = end - (end - begin) % P;
  float sum = 0.0f;
#pragma unroll 4
  for (Index i = begin + Index(threadIdx.x) * P; i < packs_end; i += kMseBlock * P) {
    const auto pa = load_pack<P>(a + i), pb = load_pack<P>(b + i);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float d = to_float(pa.v[j]) - to_float(pb.v[j]);
      sum += d * d;
    }
  }
  if (const Index i = packs_end + threadIdx.x; i < end) {
    const float d = to_float(a[i]) - to_float(b[i]);
    sum += d * d;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// grid [1], block kMseBlock
__global__ void mean_of_chunks(const float* __restrict__ partial, Index chunks, float n, float* __restrict__ y) {
  float sum = 0.0f;
#pragma unroll 4
  for (Index i = threadIdx.x; i < chunks; i += kMseBlock) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *y = sum / n;
}

// grid [ceil((n / P + n % P) / block)], block kPointwiseBlock
template <int P, class T>
__global__ void mse_slope(Index n, const T* __restrict__ a, const T* __restrict__ b, const float* __restrict__ g, T* __restrict__ da, T* __restrict__ db) {
  const float scale = *g * 2 / float(n);
  own_elements<P>(n, [&](auto width, Index i) {
    constexpr int W = width;
    const auto pa = load_pack<W>(a + i), pb = load_pack<W>(b + i);
    Pack<T, W> out_a, out_b;
#pragma unroll
    for (int j = 0; j < W; ++j) {
      const float d = (to_float(pa.v[j]) - to_float(pb.v[j])) * scale;
      out_a.v[j] = from_float<T>(d), out_b.v[j] = from_float<T>(-d);
    }
    if (da) store_pack(da + i, out_a);
    if (db) store_pack(db + i, out_b);
  });
}

template <class T>
void MseKernels<T>::forward(Index n, const T* a, const T* b, float* y) {
  const Index chunks = (n + kMseChunk - 1) / kMseChunk;
  const Scratch partial(chunks * 4);
  const Grid grid{dim3(unsigned(chunks)), dim3(kMseBlock)};
  if (chunks && aligned16(a, b)) launch(chunk_squares<kPack<T>, T>, grid, n, a, b, partial.as<float>());
  else if (chunks) launch(chunk_squares<1, T>, grid, n, a, b, partial.as<float>());
  launch(mean_of_chunks, {dim3(1), dim3(kMseBlock)}, partial.as<float>(), chunks, float(n), y);
}
template <class T>
void MseKernels<T>::backward(Index n, const T* a, const T* b, const float* g, T* da, T* db) {
  if (n == 0) return;
  if (constexpr int P = kPack<T>; aligned16(a, b, da, db)) launch(mse_slope<P, T>, pointwise_grid(n / P + n % P), n, a, b, g, da, db);
  else launch(mse_slope<1, T>, pointwise_grid(n), n, a, b, g, da, db);
}

template struct MseKernels<float>;
template struct MseKernels<bf16>;
template struct MseKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
