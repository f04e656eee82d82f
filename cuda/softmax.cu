// softmax and log_softmax on a GPU: see ops/softmax.hpp.
//
//   softmax_forward    a team owns a row (rows.cuh) and keeps it in registers: maximum, sum of e^(x − m), output
//   softmax_backward   the same with y and g: one sum, output
//
// Bound by memory: x is read and y written once forward; y and g are read and dx is written once backward. Forward takes one e^x an element; where
// a row is too long for registers softmax takes two, and reads x three times, from the caches but for the first.
#include <framegrad/cuda/softmax.hpp>

#include "cuda/rows.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

// grid [ceil(rows / teams a block)], block: whole teams
template <bool Log, class Form, class T>
__global__ void __launch_bounds__(kFormThreads<Form>, kFormBlocks<Form>) softmax_forward(const T* __restrict__ x,  // [rows, C]
                                                                                         T* __restrict__ y,        // [rows, C]
                                                                                         Index rows, int C) {
  constexpr int K = Form::K, P = Form::P, N = Form::N;
  Team<K> team;
  const Index row = Index(blockIdx.x) * (blockDim.x / team.width()) + team.index();
  const bool live = row < rows;
  if (K >= 32 && !live) return;  // the whole warp leaves; teams smaller than a warp stay for its shuffles
  const int columns = live ? C : 0;
  Held<T, P, N> held;
  held.template load<K>(x + row * C, columns);

  float most = -INFINITY;
  each_pack<K, P, N>(columns, [&](int i, int c) {
    const auto in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) most = fmaxf(most, to_float(in.v[j]));
  });
  const float m = team.max(most);

  float sum = 0.0f;
  float powers[!Log && N ? N : 1][P];
  each_pack<K, P, N>(columns, [&](int i, int c) {
    const auto in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float e = expf(to_float(in.v[j]) - m);
      if (!Log && N) powers[i][j] = e;
      sum += e;
    }
  });
  const float s = team.sum(sum), log_s = Log ? logf(s) : 0.0f, r = 1.0f / s;
  each_pack<K, P, N>(columns, [&](int i, int c) {
    Pack<T, P> in, out;
    if (Log || !N) in = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      if (Log) out.v[j] = from_float<T>(to_float(in.v[j]) - m - log_s);
      else out.v[j] = from_float<T>((N ? powers[i][j] : expf(to_float(in.v[j]) - m)) * r);
    }
    store_pack(y + row * C + c, out);
  });
}

// grid [ceil(rows / teams a block)], block: whole teams
template <bool Log, class Form, class T>
__global__ void __launch_bounds__(kFormThreads<Form>, kFormBlocks<Form>) softmax_backward(const T* __restrict__ y,  // [rows, C]
                                                                                          const T* __restrict__ g,  // [rows, C]
                                                                                          T* __restrict__ dx,       // [rows, C]
                                                                                          Index rows, int C) {
  constexpr int K = Form::K, P = Form::P, N = Form::N;
  Team<K> team;
  const Index row = Index(blockIdx.x) * (blockDim.x / team.width()) + team.index();
  const bool live = row < rows;
  if (K >= 32 && !live) return;
  const int columns = live ? C : 0;
  Held<T, P, N> held_y, held_g;
  held_y.template load<K>(y + row * C, columns);
  held_g.template load<K>(g + row * C, columns);

  float part = 0.0f;
  each_pack<K, P, N>(columns, [&](int i, int c) {
    const auto py = held_y.at(i, c), pg = held_g.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) part += Log ? to_float(pg.v[j]) : to_float(pg.v[j]) * to_float(py.v[j]);
  });
  const float sum = team.sum(part);
  each_pack<K, P, N>(columns, [&](int i, int c) {
    const auto py = held_y.at(i, c), pg = held_g.at(i, c);
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float yj = to_float(py.v[j]), gj = to_float(pg.v[j]);
      out.v[j] = from_float<T>(Log ? gj - expf(yj) * sum : yj * (gj - sum));
    }
    store_pack(dx + row * C + c, out);
  });
}

template <class T, bool Log>
void SoftmaxKernels<T, Log>::forward(Index rows, Index C, const T* x, T* y) {
  if (rows * C == 0) return;
  check_row(C, "softmax");
  choose_team<T>(C, aligned16(x, y), [&](auto form, unsigned threads) {
    using Form = decltype(form);
    launch(softmax_forward<Log, Form, T>, rows_grid<Form>(rows, threads), x, y, rows, int(C));
  });
}
template <class T, bool Log>
void SoftmaxKernels<T, Log>::backward(Index rows, Index C, const T* y, const T* g, T* dx) {
  if (rows * C == 0) return;
  check_row(C, "softmax");
  choose_team<T>(C, aligned16(y, g, dx), [&](auto form, unsigned threads) {
    using Form = decltype(form);
    launch(softmax_backward<Log, Form, T>, rows_grid<Form>(rows, threads), y, g, dx, rows, int(C));
  });
}

template struct SoftmaxKernels<float, false>;
template struct SoftmaxKernels<bf16, false>;
template struct SoftmaxKernels<half, false>;
template struct SoftmaxKernels<float, true>;
template struct SoftmaxKernels<bf16, true>;
template struct SoftmaxKernels<half, true>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
