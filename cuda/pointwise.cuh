// The pointwise kernels: a formula of ops/formula applied to every element, with broadcasting.
//
//   dense     a thread owns a pack of 16 bytes of each operand
//   strided   a thread owns an element of y, walks y in its order of memory, and finds the operands' places from its index
//
// All are bound by memory: every operand is read once and y written once. In the strided form an operand that repeats is read through
// the caches. Grids are as large as the tensor; a tail that no pack fills goes element by element.
#pragma once

#include <framegrad/cuda/pointwise.hpp>

#include "cuda/number.cuh"
#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kPointwiseBlock = 256;

inline Grid pointwise_grid(Index threads) { return {dim3(unsigned((threads + kPointwiseBlock - 1) / kPointwiseBlock)), dim3(kPointwiseBlock)}; }

/// Where operand k's element lies for the i-th element of the walk. I: int where all sizes fit, since a 64-bit division costs a hundred instructions.
template <class I, int N>
__device__ __forceinline__ void locate(const Walk<N>& w, I i, Index (&at)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) at[k] = 0;
  for (int a = w.rank - 1; a >= 0; --a) {
    const I size = I(w.size[a]), q = i / size, r = i - q * size;
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] += Index(r) * w.stride[k][a];
    i = q;
  }
}

/// Calls f(i) for each element that this thread owns: a pack of P neighbours, then, in the last threads, what is left.
template <int P, class F>
__device__ __forceinline__ void own_elements(Index n, F&& f) {
  const Index t = Index(blockIdx.x) * blockDim.x + threadIdx.x, packs = n / P;
  if (t < packs) f(std::integral_constant<int, P>{}, t * P);
  else if (const Index i = packs * P + (t - packs); i < n) f(std::integral_constant<int, 1>{}, i);
}

// grid [ceil((n / P + n % P) / block)], block kPointwiseBlock
template <int P, class T, class F>
__global__ void unary_value(Index n, T* __restrict__ y, const T* __restrict__ x, F f) {
  own_elements<P>(n, [&](auto width, Index i) {
    constexpr int W = width;
    const auto in = load_pack<W>(x + i);
    Pack<T, W> out;
#pragma unroll
    for (int j = 0; j < W; ++j) out.v[j] = from_float<T>(f.value(Number(to_float(in.v[j]))).v);
    store_pack(y + i, out);
  });
}
template <int P, class T, class F>
__global__ void unary_slope(Index n, T* __restrict__ dx, const T* __restrict__ kept, const T* __restrict__ g, F f) {
  own_elements<P>(n, [&](auto width, Index i) {
    constexpr int W = width;
    const auto in = load_pack<W>(kept + i);
    const auto up = load_pack<W>(g + i);
    Pack<T, W> out;
#pragma unroll
    for (int j = 0; j < W; ++j) out.v[j] = from_float<T>(to_float(up.v[j]) * f.slope(Number(to_float(in.v[j]))).v);
    store_pack(dx + i, out);
  });
}

/// y = f(x[0], …, x[N − 1]), each T; f takes and gives f32.
template <int P, int N, class Y, class T, class F>
__global__ void dense_value(Index n, Y* __restrict__ y, const T* x0, const T* x1, const T* x2, F f) {
  own_elements<P>(n, [&](auto width, Index i) {
    constexpr int W = width;
    Pack<T, W> in[3] = {};
    in[0] = load_pack<W>(x0 + i);
    if constexpr (N > 1) in[1] = load_pack<W>(x1 + i);
    if constexpr (N > 2) in[2] = load_pack<W>(x2 + i);
    Pack<Y, W> out;
#pragma unroll
    for (int j = 0; j < W; ++j) out.v[j] = f(in[0].v[j], in[1].v[j], in[2].v[j]);
    store_pack(y + i, out);
  });
}
// grid [ceil(count / block)], block kPointwiseBlock
template <class I, int N, class Y, class X0, class X1, class X2, class F>
__global__ void strided_value(Walk<N> w, Y* __restrict__ y, const X0* x0, const X1* x1, const X2* x2, F f) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= w.count) return;
  Index at[N];
  locate<I>(w, I(i), at);
  X1 second{};
  X2 third{};
  if constexpr (N > 1) second = x1[at[1]];
  if constexpr (N > 2) third = x2[at[2]];
  y[i] = f(x0[at[0]], second, third);
}

/// Launches one of the two forms. x1 and x2 may be null beyond the walk's operands.
template <int N, class Y, class X0, class X1, class X2, class F>
void launch_walk(const Walk<N>& w, Y* y, const X0* x0, const X1* x1, const X2* x2, const F& f) {
  if (w.count == 0) return;
  if constexpr (std::is_same_v<X0, X1> && std::is_same_v<X0, X2>) {
    constexpr int P = kPack<X0>;
    if (w.unit() && sizeof(Y) <= sizeof(X0) && aligned16(x0, x1, x2) && reinterpret_cast<std::uintptr_t>(y) % (P * sizeof(Y)) == 0)
      return launch(dense_value<P, N, Y, X0, F>, pointwise_grid(w.count / P + w.count % P), w.count, y, x0, x1, x2, f);
  }
  if (w.count < (Index(1) << 31)) launch(strided_value<int, N, Y, X0, X1, X2, F>, pointwise_grid(w.count), w, y, x0, x1, x2, f);
  else launch(strided_value<Index, N, Y, X0, X1, X2, F>, pointwise_grid(w.count), w, y, x0, x1, x2, f);
}

template <class T, class F>
void UnaryKernels<T, F>::value(Index n, T* y, const T* x, const F& f) {
  if (n == 0) return;
  if (constexpr int P = kPack<T>; aligned16(y, x)) launch(unary_value<P, T, F>, pointwise_grid(n / P + n % P), n, y, x, f);
  else launch(unary_value<1, T, F>, pointwise_grid(n), n, y, x, f);
}
template <class T, class F>
void UnaryKernels<T, F>::slope(Index n, T* dx, const T* kept, const T* g, const F& f) {
  if (n == 0) return;
  if (constexpr int P = kPack<T>; aligned16(dx, kept, g)) launch(unary_slope<P, T, F>, pointwise_grid(n / P + n % P), n, dx, kept, g, f);
  else launch(unary_slope<1, T, F>, pointwise_grid(n), n, dx, kept, g, f);
}

// Named, since nvcc passes no generic lambda of a member function to a kernel.
template <class T, class F>
struct BinaryValue {
  __device__ __forceinline__ T operator()(T a, T b, T) const { return from_float<T>(F::value(Number(to_float(a)), Number(to_float(b))).v); }
};
template <class T, class F, bool ForA>
struct BinarySlope {
  __device__ __forceinline__ T operator()(T g, T a, T b) const {
    const Number x(to_float(a)), y(to_float(b));
    return from_float<T>(to_float(g) * (ForA ? F::slope_a(x, y) : F::slope_b(x, y)).v);
  }
};
template <class T, class F>
struct Holds {
  __device__ __forceinline__ bool operator()(T a, T b, T) const { return F::holds(Number(to_float(a)), Number(to_float(b))); }
};

namespace detail {
/// A slope of a linear formula reads g alone.
template <class T, class S>
void launch_slope(const Walk<3>& w, T* d, const T* g, const T* a, const T* b) {
  if (a) return launch_walk(w, d, g, a, b, S{});
  launch_walk(w.first(), d, g, static_cast<const T*>(nullptr), static_cast<const T*>(nullptr), S{});
}
}  // namespace detail

template <class T, class F>
void BinaryKernels<T, F>::value(const Walk<2>& w, T* y, const T* a, const T* b) {
  launch_walk(w, y, a, b, static_cast<const T*>(nullptr), BinaryValue<T, F>{});
}
template <class T, class F>
void BinaryKernels<T, F>::slope_a(const Walk<3>& w, T* d, const T* g, const T* a, const T* b) {
  detail::launch_slope<T, BinarySlope<T, F, true>>(w, d, g, a, b);
}
template <class T, class F>
void BinaryKernels<T, F>::slope_b(const Walk<3>& w, T* d, const T* g, const T* a, const T* b) {
  detail::launch_slope<T, BinarySlope<T, F, false>>(w, d, g, a, b);
}
template <class T, class F>
void CompareKernels<T, F>::value(const Walk<2>& w, bool* y, const T* a, const T* b) {
  launch_walk(w, y, a, b, static_cast<const T*>(nullptr), Holds<T, F>{});
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
