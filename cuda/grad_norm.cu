// The sum of squares over many tensors on a GPU: see optim/clip.hpp.
//
//   chunk_squares   a block owns 8192 elements of one tensor
//   add_squares     one block adds the chunks' sums: a thread a run of them in order, then a tree
//
// Bound by memory: 4 bytes an element. Sums are f64, so that no finite gradient overflows them; an element costs one f64 FMA, half of what a GPU for
// computing has for the 4 bytes.
#include <framegrad/cuda/grad_norm.hpp>

#include "cuda/tensor_list.cuh"
#include "cuda/warp.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

// grid [chunks of all tensors], block kListBlock
__global__ void __launch_bounds__(kListBlock) chunk_squares(const NormTensor* __restrict__ tensors, int n, double* __restrict__ sums) {  // sums [chunks]
  const NormTensor e = entry_of(tensors, n, Index(blockIdx.x));
  double sum = 0;
  own_part(e, Index(blockIdx.x), [&](auto width, Index i) {
    constexpr int W = width;
    const auto x = load_pack<W>(e.x + i);
#pragma unroll
    for (int j = 0; j < W; ++j) sum += double(x.v[j]) * double(x.v[j]);
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// grid [1], block kListBlock
__global__ void __launch_bounds__(kListBlock) add_squares(const double* __restrict__ sums, Index chunks, double* __restrict__ total) {
  const Index part = (chunks + kListBlock - 1) / kListBlock, begin = threadIdx.x * part, end = begin + part < chunks ? begin + part : chunks;
  double sum = 0;
#pragma unroll 4
  for (Index i = begin; i < end; ++i) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

double sum_of_squares(std::vector<NormTensor>& tensors) {
  const Index chunks = number_chunks(tensors);
  if (chunks == 0) return 0;
  for (auto& e : tensors) e.packs = aligned16(e.x);
  const Table<NormTensor> table(tensors);
  const Scratch sums((chunks + 1) * 8);
  double* total = sums.as<double>() + chunks;
  launch(chunk_squares, {dim3(unsigned(chunks)), dim3(kListBlock)}, table.data(), int(tensors.size()), sums.as<double>());
  launch(add_squares, {dim3(1), dim3(kListBlock)}, sums.as<double>(), chunks, total);
  double result = 0;
  copy_to_host(&result, total, 8);
  return result;
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
