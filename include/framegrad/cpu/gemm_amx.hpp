// The tile unit of gemm: 32×32 of the result in four tile registers, by TDPBF16PS.
//
// A tile is 16 rows of 64 bytes. Per 16 units (32 of k): two tiles of a (16 rows × 16 pairs), two of b (16 pairs × 16
// columns), four products. Tiles 0–3 hold the sums, 4 and 5 rows of a, 6 and 7 columns of b, the next step's loaded as soon as their last product
// is under way. a is read where it lies. From the second-level cache this reaches two thirds of what the tiles multiply at most.
#pragma once

#include <framegrad/cpu/gemm_pack.hpp>

#if defined(__x86_64__)

namespace fg::inline FRAMEGRAD_ABI::cpu {

inline constexpr int kAmxRows = 32, kAmxUnits = 16;

namespace detail {

struct TileConfig {  // LDTILECFG's 64 bytes
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

[[gnu::target("amx-tile,amx-bf16")]] inline void amx_tile(Index units, const char* a, Index a_stride, const Pair* b, const float* from,
                                                          Index from_stride, float* c, Index ldc, Ahead* ahead) {
  constexpr Index b_stride = 128;  // bytes of a sliver's row
  if (from) {
    __asm__ volatile(
        "tileloadd (%0,%2,1), %%tmm0\n\t"
        "tileloadd 64(%0,%2,1), %%tmm1\n\t"
        "tileloadd (%1,%2,1), %%tmm2\n\t"
        "tileloadd 64(%1,%2,1), %%tmm3"
        : : "r"(from), "r"(from + 16 * from_stride), "r"(from_stride * Index(sizeof(float))) : "memory");
  } else {
    __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : : : "memory");
  }
  const char* a2 = a + 16 * a_stride;
  AheadLines next_a{}, next_b{};
  const char* to = nullptr;
  Index to_rows = 0, to_stride = 0;  // in each step
  if (ahead) {
    next_a = ahead->a.take(), next_b = ahead->b.take();
    const Index more_steps = units / kAmxUnits - 1;
    if (ahead->to && more_steps > 0) to = ahead->to, to_stride = ahead->to_stride, to_rows = (kAmxRows + more_steps - 1) / more_steps;
  }
  __asm__ volatile("tileloadd (%0,%2,1), %%tmm4\n\ttileloadd (%1,%3,1), %%tmm6" : : "r"(a), "r"(b), "r"(a_stride), "r"(b_stride) : "memory");
  for (Index u = kAmxUnits;; u += kAmxUnits) {
    __asm__ volatile("tileloadd 64(%0,%1,1), %%tmm7\n\ttdpbf16ps %%tmm6, %%tmm4, %%tmm0" : : "r"(b), "r"(b_stride) : "memory");
    next_a.fetch();
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm5\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1" : : "r"(a2), "r"(a_stride) : "memory");
    if (u >= units) break;
    a += 64, a2 += 64, b += kAmxUnits * 32;
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm4\n\ttdpbf16ps %%tmm6, %%tmm5, %%tmm2" : : "r"(a), "r"(a_stride) : "memory");
    next_b.fetch();
    for (Index r = 0; r < to_rows; ++r, to += to_stride) fetch_to_write(to);
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm6\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3" : : "r"(b), "r"(b_stride) : "memory");
  }
  __asm__ volatile("tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3" : : : "memory");
  __asm__ volatile(
      "tilestored %%tmm0, (%0,%2,1)\n\t"
      "tilestored %%tmm1, 64(%0,%2,1)\n\t"
      "tilestored %%tmm2, (%1,%2,1)\n\t"
      "tilestored %%tmm3, 64(%1,%2,1)"
      : : "r"(c), "r"(c + 16 * ldc), "r"(ldc * Index(sizeof(float))) : "memory");
}

}  // namespace detail

/// A thread's tiles are 16 rows of 64 bytes between these two.
[[gnu::target("amx-tile")]] inline void amx_begin() {
  alignas(64) static constexpr detail::TileConfig config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
}
[[gnu::target("amx-tile")]] inline void amx_end() { __asm__ volatile("tilerelease" : : : "memory"); }

/// c[32, slivers·32] = from + a·b, from nothing if it is null; units a multiple of 16, and not 0. a_stride in bytes.
[[gnu::target("amx-tile,amx-bf16")]] inline void amx_strip(Index slivers, Index units, const char* a, Index a_stride, const Pair* b,
                                                           const float* from, Index from_stride, float* c, Index ldc, Ahead* ahead) {
  for (Index j = 0; j < slivers; ++j) {
    detail::amx_tile(units, a, a_stride, b + j * units * 32, from ? from + j * 32 : nullptr, from_stride, c + j * 32, ldc, ahead);
    if (ahead && ahead->to) ahead->to += 64;
  }
}

/// c[rows, slivers·32] (+)= a·b between amx_begin and amx_end; rows a multiple of 32.
[[gnu::target("amx-tile,amx-bf16")]] inline void amx_block(Index rows, Index slivers, Index units, const char* a, Index a_stride,
                                                           const Pair* b, float* c, Index ldc, bool add) {
  for (Index i = 0; i < rows; i += kAmxRows) {
    float* const to = c + i * ldc;
    amx_strip(slivers, units, a + i * a_stride, a_stride, b, add ? to : nullptr, ldc, to, ldc, nullptr);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu

#endif
