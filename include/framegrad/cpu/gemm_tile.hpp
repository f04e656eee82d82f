// The register tiles of gemm: R rows by two vectors of the result stay in registers while k runs.
//
//   c[r, :] += Σ_u a[r, u]·b[u, :]       a by rows of units, b a packed sliver, c [R, 2·lanes]
//
// R leaves room for the two vectors of b and one of a beside 2·R sums: 12 of 32 registers' worth, 6 or 4 of 16's.
#pragma once

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/gemm_pack.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

/// Calls tile.run<R>(a, b, c) over a block: every sliver meets all rows while it is in the first-level cache.
/// What R doesn't divide goes in tiles of Rest rows and then of one.
template <int R, int Rest, class U, class A, class Tile>
FRAMEGRAD_INLINE void each_tile(Index rows, Index slivers, Index units, int width, const char* a, Index a_stride, const U* b, A* c, Index ldc,
                                Tile tile) {
  for (Index j = 0; j < slivers; ++j, b += units * width, c += width) {
    Index i = 0;
    for (; i + R <= rows; i += R) tile.template run<R>(a + i * a_stride, b, c + i * ldc);
    for (; i + Rest <= rows; i += Rest) tile.template run<Rest>(a + i * a_stride, b, c + i * ldc);
    for (; i < rows; ++i) tile.template run<1>(a + i * a_stride, b, c + i * ldc);
  }
}

template <class U>
FRAMEGRAD_INLINE U unit_at(const char* p) {
  U u;
  __builtin_memcpy(&u, p, sizeof u);
  return u;
}

template <class U, int B>
struct FmaTile {
  Index units, a_stride, ldc;  // a_stride in bytes
  bool add;

  template <int R>
  FRAMEGRAD_INLINE void run(const char* a, const U* b, U* c) const {
    using V = Vec<U, B>;
    constexpr int N = V::lanes;
    V sum[R][2];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      sum[r][0] = add ? load_all<V>(c + r * ldc) : V(U(0));
      sum[r][1] = add ? load_all<V>(c + r * ldc + N) : V(U(0));
    }
    for (Index u = 0; u < units; ++u, b += 2 * N, a += sizeof(U)) {
      const V b0 = load_all<V>(b), b1 = load_all<V>(b + N);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V x(unit_at<U>(a + r * a_stride));
        sum[r][0] = fma(x, b0, sum[r][0]);
        sum[r][1] = fma(x, b1, sum[r][1]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      store_all(c + r * ldc, sum[r][0]);
      store_all(c + r * ldc + N, sum[r][1]);
    }
  }
};

}  // namespace detail

/// c[rows, slivers·W] (+)= a[rows, units]·b, with `add` onto what c holds.
template <class U>
struct FmaBlock {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index rows, Index slivers, Index units, const char* a, Index a_stride, const U* b, U* c, Index ldc, bool add) {
    constexpr int R = B == 64 ? 12 : B == 32 ? 6 : 4;
    detail::each_tile<R, (B == 64 ? 4 : 2)>(rows, slivers, units, 2 * Vec<U, B>::lanes, a, a_stride, b, c, ldc,
                                            detail::FmaTile<U, B>{units, a_stride, ldc, add});
  }
};

#if defined(__x86_64__)
namespace detail {

template <int R>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]] void dot_tile(Index units, const char* a, Index a_stride, const Pair* b, float* c,
                                                                             Index ldc, bool add) {
  using V = Vec<float, 64>;
  using P = Vec<Pair, 64>;
  constexpr int N = V::lanes;
  V sum[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    sum[r][0] = add ? load_all<V>(c + r * ldc) : V(0);
    sum[r][1] = add ? load_all<V>(c + r * ldc + N) : V(0);
  }
  for (Index u = 0; u < units; ++u, b += 2 * N, a += sizeof(Pair)) {
    const P b0 = load_all<P>(b), b1 = load_all<P>(b + N);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const P x(unit_at<Pair>(a + r * a_stride));
      __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][0].v) : "v"(x.v), "v"(b0.v));
      __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][1].v) : "v"(x.v), "v"(b1.v));
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    store_all(c + r * ldc, sum[r][0]);
    store_all(c + r * ldc + N, sum[r][1]);
  }
}

struct DotTile {
  Index units, a_stride, ldc;
  bool add;
  template <int R>
  FRAMEGRAD_INLINE void run(const char* a, const Pair* b, float* c) const { dot_tile<R>(units, a, a_stride, b, c, ldc, add); }
};

}  // namespace detail

/// The same over pairs, by AVX512-BF16's dot product.
inline void dot_block(Index rows, Index slivers, Index units, const char* a, Index a_stride, const Pair* b, float* c, Index ldc, bool add) {
  detail::each_tile<12, 4>(rows, slivers, units, 32, a, a_stride, b, c, ldc, detail::DotTile{units, a_stride, ldc, add});
}
#endif

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
