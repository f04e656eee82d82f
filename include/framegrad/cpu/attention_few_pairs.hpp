// attention to few keys, for bf16 by pairs: products of attention_few.hpp by AVX512-BF16's dot product, twice as fast as FMA and with nothing to widen.
//
//   PairsToLanes      RowsToLanes, a pair of columns a lane
//   RowsInPairs       rows → pairs of rows, number beside number
//   RowPairProducts   S[key][lane] = factor·Σ_u rows[key][u]·columns[u][lane]     u pairs along head_dim, as rows lie
//                     C[i] = Σ_j a(i, j)·rows[j]                                  j pairs of rows, of rounded probabilities
#pragma once

#include <framegrad/cpu/attention_rows.hpp>
#include <framegrad/cpu/gemm_tile.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// Where the vector that begins at k begins: the last is moved back to end where the row ends.
FRAMEGRAD_INLINE Index vector_at(Index k, Index cols, int lanes) { return cols - k < lanes ? cols - lanes : k; }

struct PairsToLanes {
  template <int B>
  FRAMEGRAD_INLINE static void run(Rows<const bf16> from, Index rows, Index units, Pair* to) {
    using U = Vec<Pair, B>;
    constexpr int L = U::lanes;
    for (Index k = 0; k < units; k += L) {
      const Index j = vector_at(k, units, L);
      U x[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) x[r] = r < rows ? detail::load_all<U>(reinterpret_cast<const Pair*>(from[r] + 2 * j)) : U(0);
      detail::transpose(x);
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) detail::store_all(to + (j + r) * L, x[r]);
    }
  }
};

/// Vectors of columns as vector_at has them, one behind the other. Beside a last row zeros.
struct RowsInPairs {
  template <int B>
  FRAMEGRAD_INLINE static void run(Rows<const bf16> from, Index rows, Index cols, Pair* to) {
    using U = Vec<Pair, B>;
    for (Index i = 0; i < rows; i += 2) {
      const bf16 *const low = from[i], *const high = from[i + 1];
      for (Index k = 0; k < cols; k += U::lanes, to += U::lanes) {
        const Index j = vector_at(k, cols, U::lanes);
        U x = detail::widen16<U>(low + j);
        if (i + 1 < rows) x = x | detail::widen16<U>(high + j) << 16;
        detail::store_all(to, x);
      }
    }
  }
};

#if defined(__x86_64__)
/// Functions that are compiled for the instruction, with no lambda around it: that wouldn't be.
class RowPairProducts {
 public:
  template <class F>
  [[gnu::noinline]] static void scores(Rows<const bf16> from, Index rows, Index units, const Pair* columns, float factor, Rows<float> to, F* ahead) noexcept {
    const auto all = [&]<int R>(std::integral_constant<int, R>, Index i) {
      score_tile<R>(units, from[i], from.stride, columns, factor, Rows<float>{to[i], to.stride}, ahead);
    };
    const auto single = [&](Index i) { all(std::integral_constant<int, 1>{}, i); };
    if (rows < 16) groups<8>(rows, [&](Index i) { all(std::integral_constant<int, 8>{}, i); }, single);
    else groups<16>(rows, [&](Index i) { all(std::integral_constant<int, 16>{}, i); }, single);
  }

  /// a(i, j) as SumRows has it; of scores by rows whole groups of kRows are read.
  template <Scores scores, class F>
  [[gnu::noinline]] static void sum(Index count, Index cols, Index depth, Rows<const Pair> a, const Pair* rows, Rows<bf16> to, F* ahead) noexcept {
    for (Index i = 0; i < count; i += kRows) {
      const Index live = count - i < kRows ? count - i : kRows;
      const Rows<const Pair> left{scores == Scores::of_rows ? a[i] : a.data + i, a.stride};
      for (Index j = 0; j < cols;) {
        const Index vectors = (cols - j + kLanes - 1) / kLanes, taken = vectors == 2 || vectors == 4 ? 2 : 3;  // one is never left over
        const Rows<bf16> out{to[i], to.stride};
        if (taken == 2) sum_tile<scores, 2>(depth, left, rows + j, round_up(cols, kLanes), out, j, cols, live, ahead);
        else sum_tile<scores, 3>(depth, left, rows + j, round_up(cols, kLanes), out, j, cols, live, ahead);
        j += taken * kLanes;
      }
    }
  }

  static constexpr int kRows = 8, kLanes = 16;

 private:
  template <int R, class F>
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]]
  static void score_tile(Index units, const bf16* rows, Index stride, const Pair* columns, float factor, Rows<float> to, F* ahead) noexcept {
    using V = Vec<float, 64>;
    using P = Vec<Pair, 64>;
    constexpr int groups = (R + 3) / 4;
    typename V::Native sum[R] = {};
    const char* row[groups];
    const Index stride1 = stride * Index(sizeof(bf16)), stride3 = 3 * stride1;
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      row[g] = reinterpret_cast<const char*>(rows) + 4 * g * stride1;
      __asm__("" : "+r"(row[g]));
    }
    while (units > 0) {
      const auto lines = ahead->take(units);
      const char* at = lines.data;
      units -= lines.pairs;
      for (Index n = lines.pairs; n > 0; --n, at += lines.stride, columns += V::lanes) {
        __builtin_prefetch(at, 0, 2), __builtin_prefetch(at + 64, 0, 2);
        const auto right = detail::load_all<P>(columns).v;
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const auto x = P(detail::unit_at<Pair>(row[r / 4] + (r % 4 == 3 ? stride3 : r % 4 * stride1))).v;
          __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r]) : "v"(x), "v"(right));
        }
#pragma GCC unroll 4
        for (int g = 0; g < groups; ++g) row[g] += sizeof(Pair);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) detail::store_all(to[r], V::of(sum[r]) * V(factor));
  }

  /// Columns [first, first + N vectors) of kRows rows, of which the first `live` are written.
  template <Scores scores, int N, class F>
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]]
  static void sum_tile(Index depth, Rows<const Pair> a, const Pair* rows, Index row_stride, Rows<bf16> to, Index first, Index cols, Index live, F* ahead) noexcept {
    using V = Vec<float, 64>;
    using P = Vec<Pair, 64>;
    typename V::Native sum[kRows][N] = {};
    const Pair* left[2] = {a.data, a.data + 4 * a.stride};
    const Index stride = a.stride, stride3 = 3 * stride;
    while (depth > 0) {
      const auto lines = ahead->take(depth);
      const char* at = lines.data;
      depth -= lines.pairs;
      for (Index n = lines.pairs; n > 0; --n, at += lines.stride, rows += row_stride) {
        __builtin_prefetch(at, 0, 2), __builtin_prefetch(at + 64, 0, 2);
        typename P::Native right[N];
#pragma GCC unroll 3
        for (int v = 0; v < N; ++v) right[v] = detail::load_all<P>(rows + v * kLanes).v;
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const auto x = P(scores == Scores::of_lanes ? left[0][r] : left[r / 4][r % 4 == 3 ? stride3 : r % 4 * stride]).v;
#pragma GCC unroll 3
          for (int v = 0; v < N; ++v) __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][v]) : "v"(x), "v"(right[v]));
        }
        if constexpr (scores == Scores::of_lanes) left[0] += stride;
        else ++left[0], ++left[1];
      }
    }
#pragma GCC unroll 3
    for (int v = 0; v < N; ++v) {
      bf16* const out = to.data + vector_at(first + v * kLanes, cols, kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        typename detail::Native<std::uint16_t, 32>::type rounded;
        __asm__("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(sum[r][v]));
        if (r < live) __builtin_memcpy(static_cast<void*>(out + r * to.stride), &rounded, sizeof rounded);
      }
    }
  }
};

#else
struct RowPairProducts {  // nothing is served by them
  template <class... A> static void scores(const A&...) {}
  template <Scores, class... A> static void sum(const A&...) {}
  static constexpr int kRows = 1;
};
#endif

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
