// The register tiles of gemm: R rows by two vectors of the result stay in registers while k runs.
//
//   c[r, :] = start[r, :] + Σ_u a[r, u]·b[u, :]       b a packed sliver, c [R, 2·lanes]
//
// Of a last sliver of at most one vector's columns only the first vector is computed. R leaves room for the two vectors of b and one of a beside 2·R sums: 12 of 32 registers' worth, 6 or 4 of 16's.
// a lies by rows of units, or packed by panels of R rows (gemm_pack.hpp).
#pragma once

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/gemm_pack.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// The left operand as a tile reads it: rows `stride` bytes apart, or panels.
struct LeftRows {
  const char* data;
  Index stride;
  bool panels;
};

/// Where sums begin and where they go. Without `from` they begin at zero; from_stride 0 begins all rows alike.
template <class A>
struct Sums {
  const A* from;
  Index from_stride;
  A* to;
  Index to_stride;
  bf16* rounded = nullptr;  // of pairs: where sums go in place of `to`
  Index rounded_stride = 0;
  const char* next = nullptr;  // rows that the next tile meets: fetched while this one multiplies
  Index next_stride = 0;       // bytes
};

namespace detail {

template <class U>
FRAMEGRAD_INLINE U unit_at(const char* p) {
  U u;
  __builtin_memcpy(&u, p, sizeof u);
  return u;
}

/// The sums in registers are bare vectors: g++ 12 keeps a copy of a struct of them on the stack, and stores it in every step.
template <class U, int B, int R, int Vectors, bool panels>
struct FmaTile {
  FRAMEGRAD_INLINE static void run(Index units, const char* a, Index stride, const U* b, const Sums<U>& s, Ahead* ahead) {
    using V = Vec<U, B>;
    using N = typename V::Native;
    constexpr int P = kPanel<B>, groups = (R + 3) / 4;
    N sum[R][Vectors];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = s.from ? load_all<V>(s.from + r * s.from_stride + v * V::lanes).v : N{};
    // Four rows share a pointer, for want of registers: at it, one, two and three strides behind.
    const char* row[groups];
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      row[g] = a + 4 * g * stride;
      __asm__("" : "+r"(row[g]));
    }
    const Index stride3 = 3 * stride;
    const auto step = [&](int d) FRAMEGRAD_LAMBDA {
      N right[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) right[v] = load_all<V>(b + d * 2 * V::lanes + v * V::lanes).v;
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const char* const at = panels ? a + (d * P + r) * sizeof(U) : row[r / 4] + (r % 4 == 3 ? stride3 : r % 4 * stride) + d * sizeof(U);
        const N x = V(unit_at<U>(at)).v;
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) sum[r][v] = x * right[v] + sum[r][v];
      }
    };
    const auto advance = [&](int steps) FRAMEGRAD_LAMBDA {
      b += steps * 2 * V::lanes;
      if constexpr (panels) {
        a += steps * P * sizeof(U);
      } else {
#pragma GCC unroll 4
        for (int g = 0; g < groups; ++g) row[g] += steps * sizeof(U);
      }
    };
    // Several steps share the additions of addresses.
    constexpr int S = R >= 4 && Vectors == 2 ? 4 : 1;
    TileAhead next(ahead, units, S * R, S, s.next, s.next_stride, b);
    Index u = 0;
    for (; u + S <= units; u += S) {
      next.template fetch<Vectors * B>(u);
#pragma GCC unroll 4
      for (int d = 0; d < S; ++d) step(d);
      advance(S);
    }
    for (; u < units; ++u) step(0), advance(1);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) __builtin_memcpy(s.to + r * s.to_stride + v * V::lanes, &sum[r][v], sizeof(N));
  }
};

/// Tile<R> over all rows: what R doesn't divide goes in tiles of Rest rows and then of two and one.
/// P: rows of a panel. W: columns of a sliver.
template <int R, int Rest, int P, int W, bool panels, template <int, bool> class Tile, class U, class A>
FRAMEGRAD_INLINE void each_tile(Index rows, Index units, const LeftRows& a, const U* b, const Sums<A>& s, Ahead* ahead) {
  const auto a_at = [&](Index i) FRAMEGRAD_LAMBDA {
    return a.data + (panels ? (i / P * P * (units + 1) + i % P) * Index(sizeof(U)) : i * a.stride);
  };
  const bool reads = s.from && s.from_stride;  // sums of the block of k before: these are what a tile waits for, else where they go
  const Index size = !reads && s.rounded ? sizeof(bf16) : sizeof(A);
  const char* const next = reads ? reinterpret_cast<const char*>(s.from) : s.rounded ? reinterpret_cast<const char*>(s.rounded) : reinterpret_cast<const char*>(s.to);
  const Index next_stride = (reads ? s.from_stride : s.rounded ? s.rounded_stride : s.to_stride) * size;
  const auto sums_at = [&](Index i, Index tile_rows) FRAMEGRAD_LAMBDA {
    return Sums<A>{s.from ? s.from + i * s.from_stride : nullptr, s.from_stride, s.to + i * s.to_stride, s.to_stride,
                   s.rounded ? s.rounded + i * s.rounded_stride : nullptr, s.rounded_stride,
                   i + tile_rows < rows ? next + (i + tile_rows) * next_stride : next + W * size, next_stride};  // behind the last rows the next sliver's first
  };
  Index i = 0;
  for (; i + R <= rows; i += R) Tile<R, panels>::run(units, a_at(i), a.stride, b, sums_at(i, R), ahead);
  for (; i + Rest <= rows; i += Rest) Tile<Rest, panels>::run(units, a_at(i), a.stride, b, sums_at(i, Rest), ahead);
  if constexpr (Rest > 2)
    for (; i + 2 <= rows; i += 2) Tile<2, panels>::run(units, a_at(i), a.stride, b, sums_at(i, 2), ahead);
  for (; i < rows; ++i) Tile<1, panels>::run(units, a_at(i), a.stride, b, sums_at(i, 1), ahead);
}

}  // namespace detail

/// sums[rows, W] of a[rows, units]·b, b one sliver, which stays in the first-level cache while it meets all rows; W is one vector's
/// lanes if `narrow`, else two's.
template <class U>
struct FmaBlock {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index rows, Index units, const LeftRows& a, const U* b, bool narrow, const Sums<U>& s, Ahead* ahead) {
    if (narrow) of<B, 1>(rows, units, a, b, s, ahead);
    else of<B, 2>(rows, units, a, b, s, ahead);
  }

 private:
  template <int B, int Vectors>
  FRAMEGRAD_INLINE static void of(Index rows, Index units, const LeftRows& a, const U* b, const Sums<U>& s, Ahead* ahead) {
    constexpr int R = kPanel<B>, Rest = B == 64 ? 4 : 2, W = 2 * B / int(sizeof(U));
    if (a.panels) detail::each_tile<R, Rest, R, W, true, Of<B, Vectors>::template Tile>(rows, units, a, b, s, ahead);
    else detail::each_tile<R, Rest, R, W, false, Of<B, Vectors>::template Tile>(rows, units, a, b, s, ahead);
  }
  template <int B, int Vectors>
  struct Of {
    template <int R, bool panels> using Tile = detail::FmaTile<U, B, R, Vectors, panels>;
  };
};

#if defined(__x86_64__)
namespace detail {

/// By pairs. A function of its own, not the one above with another product in it: clang names a register of 64 bytes only where it is told it may.
template <int R, bool panels>
struct DotTile {
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]]
  static void run(Index units, const char* a, Index stride, const Pair* b, const Sums<float>& s, Ahead* ahead) {
    using V = Vec<float, 64>;
    using P = Vec<Pair, 64>;
    using N = typename V::Native;
    constexpr int groups = (R + 3) / 4;
    N sum[R][2];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) sum[r][v] = s.from ? load_all<V>(s.from + r * s.from_stride + v * V::lanes).v : N{};
    const char* row[groups];
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      row[g] = a + 4 * g * stride;
      __asm__("" : "+r"(row[g]));
    }
    const Index stride3 = 3 * stride;
    TileAhead next(ahead, units, R, 1, s.next, s.next_stride, b);
    for (Index u = 0; u < units; ++u, b += 2 * V::lanes) {
      next.fetch<128>(u);
      const auto b0 = load_all<P>(b).v, b1 = load_all<P>(b + V::lanes).v;
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const auto x = P(unit_at<Pair>(panels ? a + r * sizeof(Pair) : row[r / 4] + (r % 4 == 3 ? stride3 : r % 4 * stride))).v;
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][0]) : "v"(x), "v"(b0));
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][1]) : "v"(x), "v"(b1));
      }
      if constexpr (panels) {
        a += kPanel<64> * sizeof(Pair);
      } else {
#pragma GCC unroll 4
        for (int g = 0; g < groups; ++g) row[g] += sizeof(Pair);
      }
    }
    if (s.rounded) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        typename Native<std::uint16_t, 64>::type pair;
        __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(pair) : "v"(sum[r][0]), "v"(sum[r][1]));
        __builtin_memcpy(static_cast<void*>(s.rounded + r * s.rounded_stride), &pair, sizeof pair);
      }
      return;
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) __builtin_memcpy(s.to + r * s.to_stride + v * V::lanes, &sum[r][v], sizeof(N));
  }
};

}  // namespace detail

/// The same over pairs, by AVX512-BF16's dot product.
inline void dot_block(Index rows, Index units, const LeftRows& a, const Pair* b, const Sums<float>& s, Ahead* ahead) {
  constexpr int R = kPanel<64>;
  if (a.panels) detail::each_tile<R, 4, R, 32, true, detail::DotTile>(rows, units, a, b, s, ahead);
  else detail::each_tile<R, 4, R, 32, false, detail::DotTile>(rows, units, a, b, s, ahead);
}
#endif

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
