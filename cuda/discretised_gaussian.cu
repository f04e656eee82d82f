// discretised_gaussian_log_likelihood on a GPU: see ops/formula/discretised_gaussian.hpp. A thread owns a pack of 16 bytes of each operand.
//
// Three numbers in and one out, with four e^x and a logarithm: for 16-bit numbers bound by them, else by memory.
#include <framegrad/cuda/discretised_gaussian.hpp>
#include <framegrad/ops/formula/discretised_gaussian.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

using Bin = formula::GaussianBin<Number>;

template <class T>
struct LogLikelihood {
  __device__ __forceinline__ T operator()(T x, T mean, T log_var) const {
    return from_float<T>(Bin(Number(to_float(x)), Number(to_float(mean)), Number(to_float(log_var))).value().v);
  }
};

// grid [ceil((n / P + n % P) / block)], block kPointwiseBlock
template <int P, class T>
__global__ void log_likelihood_slopes(Index n, const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ log_var, const T* __restrict__ g, T* __restrict__ dx,
                                      T* __restrict__ dmean, T* __restrict__ dlog_var) {
  own_elements<P>(n, [&](auto width, Index i) {
    constexpr int W = width;
    const auto px = load_pack<W>(x + i), pm = load_pack<W>(mean + i), pl = load_pack<W>(log_var + i), pg = load_pack<W>(g + i);
    Pack<T, W> out_x, out_mean, out_log_var;
#pragma unroll
    for (int j = 0; j < W; ++j) {
      Number by_x(0), by_log_var(0);
      Bin(Number(to_float(px.v[j])), Number(to_float(pm.v[j])), Number(to_float(pl.v[j]))).slopes(Number(to_float(pg.v[j])), by_x, by_log_var);
      out_x.v[j] = from_float<T>(by_x.v), out_mean.v[j] = from_float<T>(-by_x.v), out_log_var.v[j] = from_float<T>(by_log_var.v);
    }
    if (dx) store_pack(dx + i, out_x);
    if (dmean) store_pack(dmean + i, out_mean);
    if (dlog_var) store_pack(dlog_var + i, out_log_var);
  });
}

template <class T>
void DiscretisedGaussianKernels<T>::forward(Index n, const T* x, const T* mean, const T* log_var, T* y) {
  Walk<3> w;
  w.push(n, {1, 1, 1});
  launch_walk(w, y, x, mean, log_var, LogLikelihood<T>{});
}
template <class T>
void DiscretisedGaussianKernels<T>::backward(Index n, const T* x, const T* mean, const T* log_var, const T* g, T* dx, T* dmean, T* dlog_var) {
  if (n == 0) return;
  if (constexpr int P = kPack<T>; aligned16(x, mean, log_var, g, dx, dmean, dlog_var))
    launch(log_likelihood_slopes<P, T>, pointwise_grid(n / P + n % P), n, x, mean, log_var, g, dx, dmean, dlog_var);
  else launch(log_likelihood_slopes<1, T>, pointwise_grid(n), n, x, mean, log_var, g, dx, dmean, dlog_var);
}

template struct DiscretisedGaussianKernels<float>;
template struct DiscretisedGaussianKernels<bf16>;
template struct DiscretisedGaussianKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
