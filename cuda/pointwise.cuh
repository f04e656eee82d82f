// The pointwise kernels: a formula of ops/formula applied to every element, with broadcasting.
//
//   dense     a thread owns a pack of 16 bytes of each operand
//   packed    operands that repeat along whole axes (a row onto rows, a number for each row): a thread owns a pack of 16 bytes of y at eight places
//             along one of these axes, and reads what repeats there once
//   strided   a thread owns an element of y, walks y in its order of memory, and finds the operands' places from its index
//
// All are bound by memory: every operand is read once and y written once. An operand that repeats is read through the caches. Grids are as large as the tensor; a tail that no pack fills goes element by element.
#pragma once

#include <algorithm>
#include <bit>
#include <optional>

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
  for (int a = w.rank - 1; a > 0; --a) {
    const I size = I(w.size[a]), q = i / size, r = i - q * size;
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] += Index(r) * w.stride[k][a];
    i = q;
  }
  if (w.rank > 0)
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] += Index(i) * w.stride[k][0];
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

inline constexpr int kSteps = 8, kAtOnce = 4;  // places of a thread along the axis that it walks, and how many loads of each operand it has under way

/// A walk in packs: what a thread does is one element of `packs`, with `steps` places along the axis that is walked.
template <int N>
struct PackedWalk {
  Walk<N + 1> packs;  // the operands, then y; sizes of the last axis in packs. The axis that is walked is not among them
  Index steps = 1;
  Index step[N + 1] = {};
  bool one[N] = {};   // a single element fills the operand's pack
};

__device__ __forceinline__ unsigned bits_of(float v) { return __float_as_uint(v); }
template <class T>
__device__ __forceinline__ unsigned bits_of(T v) { return v.bits; }

// grid [ceil(packs · ceil(steps / kSteps) / block)], block kPointwiseBlock
template <int P, int N, class Y, class X, class F>
__global__ void packed_value(PackedWalk<N> w, Y* __restrict__ y, const X* __restrict__ x0, const X* __restrict__ x1, const X* __restrict__ x2, F f) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  const int packs = int(w.packs.count), run = int(i) / packs;
  const int begin = run * kSteps, end = min(int(w.steps), begin + kSteps);
  if (begin >= end) return;
  Index at[N + 1];
  locate<int>(w.packs, int(i) - run * packs, at);
  const X* from[3] = {x0, x1, x2};
  // Sixteen bytes as they are, or one element in the first of them.
  const auto load = [&](int k, int place) {
    const X* p = from[k] + at[k] + place * w.step[k];
    return w.one[k] ? uint4{bits_of(*p), 0, 0, 0} : load16(p);
  };
  uint4 same[N] = {}, in[kAtOnce][N] = {};
#pragma unroll
  for (int k = 0; k < N; ++k)
    if (w.step[k] == 0) same[k] = load(k, 0);
  for (int place = begin; place < end; place += kAtOnce) {
    // All loads first: what looks at a value waits for it, and for those behind it.
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s)
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (w.step[k] != 0 && place + s < end) in[s][k] = load(k, place + s);
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s) {
      if (place + s >= end) break;
      Pack<X, P> x[3] = {};
#pragma unroll
      for (int k = 0; k < N; ++k) {
        uint4 v = w.step[k] == 0 ? same[k] : in[s][k];
        if (w.one[k]) {
          if constexpr (sizeof(X) == 2) v.x |= v.x << 16;
          v = {v.x, v.x, v.x, v.x};
        }
        x[k] = std::bit_cast<Pack<X, P>>(v);
      }
      Pack<Y, P> out;
#pragma unroll
      for (int j = 0; j < P; ++j) out.v[j] = f(x[0].v[j], x[1].v[j], x[2].v[j]);
      store_pack(y + at[N] + (place + s) * w.step[N], out);
    }
  }
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

/// w in packs of P elements of y, if it can be: along the last axis each operand has neighbours or one element, and every pack is aligned (x and y are).
template <int P, int N>
std::optional<PackedWalk<N>> packed(const Walk<N>& w) {
  const int last = w.rank - 1;
  if (w.rank == 0 || w.size[last] % P || w.count >= (Index(1) << 31)) return std::nullopt;
  PackedWalk<N> packed;
  int walked = -1;  // the longest axis along which an operand repeats, else the longest
  bool repeats = false;
  for (int a = 0; a < last; ++a) {
    bool here = false;
    for (int k = 0; k < N; ++k) here |= w.stride[k][a] == 0;
    if (walked < 0 || (here && !repeats) || (here == repeats && w.size[a] > w.size[walked])) walked = a, repeats = here;
  }
  for (int k = 0; k < N; ++k) {
    packed.one[k] = w.stride[k][last] == 0;
    if (packed.one[k]) continue;
    if (w.stride[k][last] != 1) return std::nullopt;
    for (int a = 0; a < last; ++a)
      if (w.stride[k][a] % P) return std::nullopt;
  }
  Index of_y = w.count;
  for (int a = 0; a < w.rank; ++a) {
    of_y /= w.size[a];
    Index strides[N + 1];
    for (int k = 0; k < N; ++k) strides[k] = a == last ? w.stride[k][a] * P : w.stride[k][a];
    strides[N] = a == last ? P : of_y;
    if (a != walked) packed.packs.push(a == last ? w.size[a] / P : w.size[a], strides);
    else packed.steps = w.size[a], std::copy(strides, strides + N + 1, packed.step);
  }
  return packed;
}

/// Launches one of the three forms. x1 and x2 may be null beyond the walk's operands.
template <int N, class Y, class X0, class X1, class X2, class F>
void launch_walk(const Walk<N>& w, Y* y, const X0* x0, const X1* x1, const X2* x2, const F& f) {
  if (w.count == 0) return;
  if constexpr (std::is_same_v<X0, X1> && std::is_same_v<X0, X2>) {
    constexpr int P = kPack<X0>;
    if (sizeof(Y) <= sizeof(X0) && aligned16(x0, x1, x2) && reinterpret_cast<std::uintptr_t>(y) % (P * sizeof(Y)) == 0) {
      if (w.unit()) return launch(dense_value<P, N, Y, X0, F>, pointwise_grid(w.count / P + w.count % P), w.count, y, x0, x1, x2, f);
      if (const auto p = packed<P>(w)) return launch(packed_value<P, N, Y, X0, F>, pointwise_grid(p->packs.count * ((p->steps + kSteps - 1) / kSteps)), *p, y, x0, x1, x2, f);
    }
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
