// The register tiles of convolution: M positions (or channels) by NV vectors, kept in registers over a long sum.
//
//   forward_tile   out[i][:] = Σ_t Σ_c rows[t][i][c] · panel[t][c][:]      a row's number, broadcast, times a row of the panel
//   outer_tile     out[i][:] += Σ_p x[p][i] · panel[p][:]                  the weights' gradient
//
// Rows are reached through pointers, one for each tap and position: stride, dilation and borders are settled by whoever
// writes the pointers (a border points to a row of zeros), and nothing is copied. The idea of an indirection buffer in
// place of im2col is Dukhan's (2019, arXiv:1907.02129). Bound by arithmetic: M·NV FMAs for M broadcasts and NV loads.
#pragma once

#include <algorithm>

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// Positions in a tile. Of 32 registers (64-byte vectors) 24 hold sums, of 16 at most 12.
template <int B, int NV> inline constexpr int kTileRows = B == 64 ? (NV == 4 ? 6 : 8) : (NV == 1 ? 8 : 6);

/// Rows of a block are a multiple of every tile's.
inline constexpr Index kTileRowsMultiple = 24;

/// Vectors a tile is wide for `outputs` channels: as little padding as possible, then as wide as possible.
inline int tile_vectors(Index outputs, int vector_bytes, int item) {
  const Index v = (outputs * item + vector_bytes - 1) / vector_bytes;
  if (v <= 1) return 1;
  if (vector_bytes < 64 || v == 2) return 2;
  return (v + 3) / 4 * 4 <= (v + 2) / 3 * 3 ? 4 : 3;
}

/// Bytes of the vectors that dispatch() takes.
inline int vector_bytes() { return isa() >= Isa::avx512 ? 64 : isa() >= Isa::avx2 ? 32 : 16; }

template <class A, int B, int NV>
struct ConvTile {
  using V = Vec<A, B>;
  using L = Lanes<V>;
  static constexpr int M = kTileRows<B, NV>, N = NV * V::lanes;

  /// rows: [taps][rows_step] pointers, each read at `depth` numbers; panel: taps `panel_step` numbers apart, [depth][N]; out [M][N].
  FRAMEGRAD_INLINE static void forward_tile(const A* const* rows, Index rows_step, Index taps, Index first, Index depth, const A* panel,
                                            Index panel_step, A* out, bool add) {
    V sum[M][NV];
    zero(sum);
    for (Index t = 0; t < taps; ++t) {
      const A* row[M];
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) row[i] = rows[t * rows_step + i] + first;
      const A* b = panel + t * panel_step;
      for (Index c = 0; c < depth; ++c, b += N) {
        V right[NV];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) right[j] = L{j * V::lanes}.load(b);
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i) {
          const V left(row[i][c]);
#pragma GCC unroll 4
          for (int j = 0; j < NV; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
        }
      }
    }
    store(sum, out, N, M, add);
  }

  /// x: `count` pointers, of whose numbers [first, first + M) are taken, those below `depth` alone; at: which row of the panel belongs
  /// to each; out [depth − first][ld] is added to.
  FRAMEGRAD_INLINE static void outer_tile(const A* const* x, const std::int32_t* at, Index count, Index first, Index depth, const A* panel, A* out,
                                          Index ld) {
    V sum[M][NV];
    zero(sum);
    Index place[M];  // behind the last channel, the last once more: computed and not stored
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) place[i] = std::min(first + i, depth - 1);
    for (Index p = 0; p < count; ++p) {
      const A* row = x[p];
      const A* b = panel + Index(at[p]) * N;
      V right[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) right[j] = L{j * V::lanes}.load(b);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        const V left(row[place[i]]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
      }
    }
    store(sum, out, ld, int(std::min<Index>(M, depth - first)), true);
  }

 private:
  FRAMEGRAD_INLINE static void zero(V (&sum)[M][NV]) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = V(A(0));
  }
  FRAMEGRAD_INLINE static void store(const V (&sum)[M][NV], A* out, Index ld, int live, bool add) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      if (i >= live) continue;
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        const L l{j * V::lanes};
        l.store(out + i * ld, add ? l.load(out + i * ld) + sum[i][j] : sum[i][j]);
      }
    }
  }
};

/// Calls f(ConvTile<A, B, NV>) for the NV given.
template <class A, int B, class F>
FRAMEGRAD_INLINE void with_tile(int vectors, F&& f) {
  if constexpr (B == 64) {
    if (vectors == 4) return f(ConvTile<A, B, 4>{});
    if (vectors == 3) return f(ConvTile<A, B, 3>{});
  }
  if (vectors == 2) return f(ConvTile<A, B, 2>{});
  f(ConvTile<A, B, 1>{});
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
