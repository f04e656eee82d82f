// What surrounds a product of matrices: its bias and activation where cuBLASLt has no epilogue, and their gradient.
//
//   value   a thread owns a pack of 16 bytes of a row
//   slope   a thread owns a pack's columns and every eighth row of a chunk; its block adds up the chunk, and `add_chunks` the chunks, in order
//
// Bound by memory: [rows, n] is read once in f32 and written once or twice forward; three passes back. Chunks have a size that rows alone decide.
#include <framegrad/cuda/gemm.hpp>
#include <framegrad/ops/formula/gelu.hpp>
#include <framegrad/ops/formula/gelu_tanh.hpp>
#include <framegrad/ops/formula/relu.hpp>
#include <framegrad/ops/formula/silu.hpp>

#include "cuda/number.cuh"
#include "cuda/scratch.cuh"
#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

constexpr int kLanes = 32, kRows = 8;   // a block: so many packs wide, so many rows at a time
constexpr Index kMostChunks = 256;      // add_chunks walks them one by one
constexpr Index kChunkRows = 64;        // at least: 8 a thread

struct Same {
  static __device__ __forceinline__ Number value(Number x) { return x; }
  static __device__ __forceinline__ Number slope(Number) { return 1; }
};

unsigned blocks(Index n, Index each) { return unsigned((n + each - 1) / each); }

// grid [ceil(rows / kRows), ceil(n / (P·kLanes))], block [kLanes, kRows]
template <int P, class F, class T>
__global__ void activate(Index rows, Index n, const float* __restrict__ sums,  // [rows, n]
                         const T* __restrict__ bias,                           // [n] or null
                         T* __restrict__ pre,                                  // [rows, n], rows ldc apart, or null
                         T* __restrict__ c,                                    // [rows, n], rows ldc apart
                         Index ldc) {
  const Index row = Index(blockIdx.x) * kRows + threadIdx.y, column = (Index(blockIdx.y) * kLanes + threadIdx.x) * P;
  if (row >= rows || column >= n) return;
  constexpr int S = P < 4 ? P : 4;
  float h[P];
#pragma unroll
  for (int j = 0; j < P; j += S) {
    const auto s = load_pack<S>(sums + row * n + column + j);
#pragma unroll
    for (int k = 0; k < S; ++k) h[j + k] = s.v[k];
  }
  Pack<T, P> v{};
  if (bias) v = load_pack<P>(bias + column);
#pragma unroll
  for (int j = 0; j < P; ++j) {
    if (bias) h[j] += to_float(v.v[j]);
    v.v[j] = from_float<T>(h[j]);
  }
  if (pre) store_pack(pre + row * ldc + column, v);
#pragma unroll
  for (int j = 0; j < P; ++j) v.v[j] = from_float<T>(F::value(Number(h[j])).v);
  store_pack(c + row * ldc + column, v);
}

// grid [chunks, ceil(n / (P·kLanes))], block [kLanes, kRows]
template <int P, class F, class T>
__global__ void activate_back(Index rows, Index n, Index chunk_rows, const T* __restrict__ g,  // [rows, n]
                              const T* __restrict__ z,                                         // [rows, n]
                              T* __restrict__ h,                                               // [rows, n]
                              float* __restrict__ partial) {                                   // [chunks, n] or null
  __shared__ float sums[kRows][kLanes * P];
  const Index column = (Index(blockIdx.y) * kLanes + threadIdx.x) * P, end = min(rows, (Index(blockIdx.x) + 1) * chunk_rows);
  float sum[P] = {};
  if (column < n) {
    for (Index row = Index(blockIdx.x) * chunk_rows + threadIdx.y; row < end; row += kRows) {
      const auto up = load_pack<P>(g + row * n + column);
      auto v = load_pack<P>(z + row * n + column);
#pragma unroll
      for (int j = 0; j < P; ++j) {
        const float d = to_float(up.v[j]) * F::slope(Number(to_float(v.v[j]))).v;
        sum[j] += d;
        v.v[j] = from_float<T>(d);
      }
      store_pack(h + row * n + column, v);
    }
  }
  if (!partial) return;  // for all threads
#pragma unroll
  for (int j = 0; j < P; ++j) sums[threadIdx.y][j * kLanes + threadIdx.x] = sum[j];
  __syncthreads();
  if (threadIdx.y != 0 || column >= n) return;
#pragma unroll
  for (int j = 0; j < P; ++j) {
    float total = 0.0f;
    for (int r = 0; r < kRows; ++r) total += sums[r][j * kLanes + threadIdx.x];
    partial[Index(blockIdx.x) * n + column + j] = total;
  }
}

// grid [ceil(n / 256)], block 256: a thread owns a column
template <class T>
__global__ void add_chunks(Index chunks, Index n, const float* __restrict__ partial, T* __restrict__ sums) {
  const Index column = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= n) return;
  float total = 0.0f;
#pragma unroll 8
  for (Index c = 0; c < chunks; ++c) total += partial[c * n + column];
  sums[column] = from_float<T>(total);
}

template <class Do>
void with_formula(Activation f, Do&& run) {
  switch (f) {
    case Activation::none: return run(Same{});
    case Activation::gelu_tanh: return run(formula::GeluTanh{});
    case Activation::gelu_erf: return run(formula::Gelu{});
    case Activation::silu: return run(formula::Silu{});
    case Activation::relu: return run(formula::Relu{});
  }
}

}  // namespace

template <class T>
void EpilogueKernels<T>::value(Index rows, Index n, const float* sums, const T* bias, Activation f, T* pre, T* c, Index ldc) {
  if (rows == 0 || n == 0) return;
  constexpr int P = kPack<T>;
  const bool packs = n % P == 0 && ldc % P == 0 && aligned16(sums, bias, pre, c);
  const dim3 block(kLanes, kRows);
  with_formula(f, [&](auto formula) {
    using F = decltype(formula);
    if (packs) launch(activate<P, F, T>, Grid{dim3(blocks(rows, kRows), blocks(n, kLanes * P)), block}, rows, n, sums, bias, pre, c, ldc);
    else launch(activate<1, F, T>, Grid{dim3(blocks(rows, kRows), blocks(n, kLanes)), block}, rows, n, sums, bias, pre, c, ldc);
  });
}

template <class T>
void EpilogueKernels<T>::slope(Index rows, Index n, const T* g, const T* z, Activation f, T* h, T* sums) {
  if (n == 0) return;
  if (rows == 0) {
    if (sums) fill_zero(sums, n * Index(sizeof(T)));
    return;
  }
  constexpr int P = kPack<T>;
  const Index least = (rows + kMostChunks - 1) / kMostChunks, chunk_rows = (least + kChunkRows - 1) / kChunkRows * kChunkRows;
  const unsigned chunks = blocks(rows, chunk_rows);
  const Scratch memory(sums ? Index(chunks) * n * 4 : 0);
  auto* const partial = memory.as<float>();
  const bool packs = n % P == 0 && aligned16(g, z, h);
  const dim3 block(kLanes, kRows);
  with_formula(f, [&](auto formula) {
    using F = decltype(formula);
    if (packs) launch(activate_back<P, F, T>, Grid{dim3(chunks, blocks(n, kLanes * P)), block}, rows, n, chunk_rows, g, z, h, partial);
    else launch(activate_back<1, F, T>, Grid{dim3(chunks, blocks(n, kLanes)), block}, rows, n, chunk_rows, g, z, h, partial);
  });
  if (sums) launch(add_chunks<T>, Grid{dim3(blocks(n, 256)), dim3(256)}, Index(chunks), n, partial, sums);
}

template struct EpilogueKernels<float>;
template struct EpilogueKernels<bf16>;
template struct EpilogueKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
