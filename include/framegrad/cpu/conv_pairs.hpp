// Convolution of bf16 where the processor multiplies pairs: the tile of conv_tile.hpp on AMX, or on AVX512-BF16's dot product.
//
// 32 rows in two blocks of 16, by a sliver of 32 columns. A block's rows are 64 bytes apart: a cell each, or 16 pairs of cells of one output
// (the weights' gradient). Both are what a tile register holds, and it is loaded from where they lie.
#pragma once

#include <framegrad/cpu/conv_tile.hpp>
#include <framegrad/cpu/gemm_amx.hpp>
#include <framegrad/cpu/gemm_epilogue.hpp>

#if defined(__x86_64__)

namespace fg::inline FRAMEGRAD_ABI::cpu {

inline constexpr Index kPairRows = 16;   // of a block
inline constexpr Index kPairWidth = 32;  // columns of a sliver

namespace detail {

/// Between amx_begin and amx_end.
[[gnu::target("amx-tile,amx-bf16")]] inline void conv_tile_amx(const ConvSteps& steps, const Pair* a0, const Pair* a1, const Pair* b, float* to, bool add) {
  constexpr Index a_stride = 64, b_stride = 128;  // bytes of a row
  if (add) {
    __asm__ volatile(
        "tileloadd (%0,%2,1), %%tmm0\n\t"
        "tileloadd 64(%0,%2,1), %%tmm1\n\t"
        "tileloadd (%1,%2,1), %%tmm2\n\t"
        "tileloadd 64(%1,%2,1), %%tmm3"
        : : "r"(to), "r"(to + kPairRows * kPairWidth), "r"(b_stride) : "memory");
  } else {
    __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : : : "memory");
  }
  for (Index s = 0; s < steps.count; ++s, b += kCellUnits * kPairWidth) {
    __asm__ volatile(
        "tileloadd (%0,%3,1), %%tmm4\n\t"
        "tileloadd (%2,%4,1), %%tmm6\n\t"
        "tileloadd 64(%2,%4,1), %%tmm7\n\t"
        "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
        "tileloadd (%1,%3,1), %%tmm5\n\t"
        "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\t"
        "tdpbf16ps %%tmm7, %%tmm5, %%tmm3"
        : : "r"(a0 + steps.step[s].at), "r"(a1 + steps.step[s].at), "r"(b), "r"(a_stride), "r"(b_stride) : "memory");
  }
  __asm__ volatile(
      "tilestored %%tmm0, (%0,%2,1)\n\t"
      "tilestored %%tmm1, 64(%0,%2,1)\n\t"
      "tilestored %%tmm2, (%1,%2,1)\n\t"
      "tilestored %%tmm3, 64(%1,%2,1)"
      : : "r"(to), "r"(to + kPairRows * kPairWidth), "r"(b_stride) : "memory");
}

/// R rows.
template <int R>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]]
void conv_tile_dot(const ConvSteps& steps, const Pair* a, const Pair* b, float* to, bool add) {
  using V = Vec<float, 64>;
  using P = Vec<Pair, 64>;
  constexpr int N = V::lanes;
  typename V::Native sum[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = typename V::Native{};
  for (Index s = 0; s < steps.count; ++s) {
    const Pair* from = a + steps.step[s].at;
    const Pair* right = b + s * kCellUnits * kPairWidth;
    for (Index u = 0, units = steps.step[s].units; u < units; ++u, ++from, right += kPairWidth) {
      const auto b0 = load_all<P>(right).v, b1 = load_all<P>(right + N).v;
      __builtin_prefetch(right + kCellUnits * kPairWidth), __builtin_prefetch(right + kCellUnits * kPairWidth + N);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const auto x = P(from[r * kCellUnits]).v;
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][0]) : "v"(x), "v"(b0));
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][1]) : "v"(x), "v"(b1));
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      float* const at = to + r * kPairWidth + v * N;
      store_all(at, add ? load_all<V>(at) + V::of(sum[r][v]) : V::of(sum[r][v]));
    }
}

}  // namespace detail

/// Rows of neighbouring cells as pairs, −1 for zeros: the right operand, [count / 2][32], `live` channels of it.
struct ConvPairColumns {
  template <int B>
  FRAMEGRAD_INLINE static void run(const bf16* from, Index pitch, const Index* rows, Index count, Index live, Pair* to) {
    using V = Vec<Pair, B>;
    constexpr Index N = V::lanes;
    for (Index i = 0; i < count; i += 2, to += kPairWidth)
      for (Index c = 0; c < kPairWidth; c += N) detail::store_all(to + c, pair_of<V>(from, pitch, rows + i, c, live));
  }
  /// Channels [c, c + N) of two rows.
  template <class V>
  FRAMEGRAD_INLINE static V pair_of(const bf16* from, Index pitch, const Index* rows, Index c, Index live) {
    V pair(0u);
    if (c >= live) return pair;
    const Lanes<V> l{c, int(std::min<Index>(V::lanes, live - c))};
    const auto* const x = reinterpret_cast<const std::uint16_t*>(from);
    if (rows[0] >= 0) pair = l.load(x + rows[0] * pitch);
    if (rows[1] >= 0) pair = pair | l.load(x + rows[1] * pitch) << 16;
    return pair;
  }
};

/// The same, transposed: the left operand, of 16 channels [16][16 pairs].
struct ConvPairRows {
  template <int B>
  FRAMEGRAD_INLINE static void run(const bf16* from, Index pitch, const Index* rows, Index live, Pair* to) {
    using V = Vec<Pair, B>;
    static_assert(V::lanes == kPairRows && kCellUnits == kPairRows);
    V block[kPairRows];
#pragma GCC unroll 16
    for (int i = 0; i < kPairRows; ++i) block[i] = ConvPairColumns::pair_of<V>(from, pitch, rows + 2 * i, 0, live);
    detail::transpose(block);
#pragma GCC unroll 16
    for (int i = 0; i < kPairRows; ++i) detail::store_all(to + i * kCellUnits, block[i]);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu

#endif
