// cross_entropy on a GPU: see ops/cross_entropy.hpp.
//
//   row_losses       a team owns a row (rows.cuh): maximum, sum of e^(x − m), and the row's loss
//   mean_of_rows     one block adds the rows' losses and counts the rows
//   loss_slope       a team owns a row
//
// Bound by memory: the logits are read once forward; they are read and the gradient is written once backward.
#include <framegrad/cuda/cross_entropy.hpp>

#include "cuda/rows.cuh"
#include "cuda/scratch.cuh"
#include "cuda/warp.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {
inline constexpr int kMeanBlock = 1024;
}

// grid [ceil(N / teams a block)], block: whole teams
template <class Form, class T>
__global__ void __launch_bounds__(kMostRowThreads) row_losses(const T* __restrict__ logits,               // [N, C]
                                                              const std::int64_t* __restrict__ targets,  // [N]
                                                              float* __restrict__ log_sum,               // [N]
                                                              float* __restrict__ loss,                  // [N]
                                                              Index N, int C, Index ignore_index) {
  constexpr int K = Form::K, P = Form::P, kPacks = Form::N;
  Team<K> team;
  const Index row = Index(blockIdx.x) * (blockDim.x / team.width()) + team.index();
  const bool live = row < N;
  if (K >= 32 && !live) return;  // the whole warp leaves; teams smaller than a warp stay for its shuffles
  const int columns = live ? C : 0;
  Held<T, P, kPacks> held;
  held.template load<K>(logits + row * C, columns);
  float most = -INFINITY;
  each_pack<K, P, kPacks>(columns, [&](int i, int c) {
    const auto in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) most = fmaxf(most, to_float(in.v[j]));
  });
  const float m = team.max(most);
  float sum = 0.0f;
  each_pack<K, P, kPacks>(columns, [&](int i, int c) {
    const auto in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) sum += expf(to_float(in.v[j]) - m);
  });
  const float total = m + logf(team.sum(sum));
  if (!live || team.lane() != 0) return;
  const Index target = targets[row];
  log_sum[row] = total;
  loss[row] = target == ignore_index ? 0.0f : target >= 0 && target < C ? total - to_float(logits[row * C + target]) : nanf("");
}

// grid [1], block kMeanBlock. Without `loss` y is the count of rows.
__global__ void __launch_bounds__(kMeanBlock) mean_of_rows(const float* __restrict__ loss,            // [N]
                                                           const std::int64_t* __restrict__ targets,  // [N]
                                                           Index N, Index ignore_index, float* __restrict__ y) {
  float sums[2] = {};
#pragma unroll 4
  for (Index i = threadIdx.x; i < N; i += kMeanBlock) {
    if (loss) sums[0] += loss[i];
    sums[1] += targets[i] == ignore_index ? 0.0f : 1.0f;  // exact to 2²⁴ rows a thread
  }
  block_sums(sums);
  if (threadIdx.x == 0) *y = loss ? sums[0] / sums[1] : sums[1];
}

// grid [ceil(N / teams a block)], block: whole teams
template <class Form, class T>
__global__ void __launch_bounds__(kMostRowThreads) loss_slope(const T* __restrict__ logits,               // [N, C]
                                                              const std::int64_t* __restrict__ targets,  // [N]
                                                              const float* __restrict__ log_sum,         // [N]
                                                              const float* __restrict__ g,               // []
                                                              const float* __restrict__ counted,         // []
                                                              T* __restrict__ dlogits,                   // [N, C]
                                                              Index N, int C, Index ignore_index) {
  constexpr int K = Form::K, P = Form::P, kPacks = Form::N;
  Team<K> team;
  const Index row = Index(blockIdx.x) * (blockDim.x / team.width()) + team.index();
  if (row >= N) return;  // nobody waits for anybody
  Held<T, P, kPacks> held;
  held.template load<K>(logits + row * C, C);
  const Index target = targets[row];
  const bool ignored = target == ignore_index, known = target >= 0 && target < C;
  const float scale = ignored ? 0.0f : known ? *g / *counted : nanf(""), about = log_sum[row];
  each_pack<K, P, kPacks>(C, [&](int i, int c) {
    const auto in = held.at(i, c);
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float p = expf(to_float(in.v[j]) - about);
      out.v[j] = from_float<T>(ignored ? 0.0f : (c + j == target ? p - 1.0f : p) * scale);
    }
    store_pack(dlogits + row * C + c, out);
  });
}

template <class T>
void CrossEntropyKernels<T>::forward(Index N, Index C, Index ignore_index, const T* logits, const std::int64_t* targets, float* log_sum, float* y) {
  check_row(C, "cross_entropy");
  const Scratch loss(N * 4);
  if (N)
    choose_team<T>(C, aligned16(logits), [&](auto form, unsigned threads) {
      using Form = decltype(form);
      launch(row_losses<Form, T>, rows_grid<Form>(N, threads), logits, targets, log_sum, loss.as<float>(), N, int(C), ignore_index);
    });
  const Scratch nothing(4);  // a mean of no rows divides 0 by 0
  launch(mean_of_rows, {dim3(1), dim3(kMeanBlock)}, N ? loss.as<float>() : nothing.as<float>(), targets, N, ignore_index, y);
}
template <class T>
void CrossEntropyKernels<T>::backward(Index N, Index C, Index ignore_index, const T* logits, const std::int64_t* targets, const float* log_sum, const float* g, T* dlogits) {
  if (N * C == 0) return;
  const Scratch counted(4);
  launch(mean_of_rows, {dim3(1), dim3(kMeanBlock)}, static_cast<const float*>(nullptr), targets, N, ignore_index, counted.as<float>());
  choose_team<T>(C, aligned16(logits, dlogits), [&](auto form, unsigned threads) {
    using Form = decltype(form);
    launch(loss_slope<Form, T>, rows_grid<Form>(N, threads), logits, targets, log_sum, g, counted.as<float>(), dlogits, N, int(C), ignore_index);
  });
}

template struct CrossEntropyKernels<float>;
template struct CrossEntropyKernels<bf16>;
template struct CrossEntropyKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
