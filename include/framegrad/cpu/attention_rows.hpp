// Rows — what attention to few keys is made of: rows are read where they lie, and a vector of queries meets all keys.
//
//   RowsToLanes   up to a vector's worth of rows of T → columns of A
//   TakeRows      rows of T as rows of A: what is read number by number must be of A
//   RowScores     S[key][lane] = Σ_d rows[key][d]·columns[d][lane]
//   SumRows       C[i] = factor·Σ_j a(i, j)·rows[j], a(i, j) the score of key i and query j, or of key j and query i
//
// Vectors and groups of rows that would reach over an end are moved back to end there, and give some numbers a second time: nothing is
// padded. So a row has a vector's numbers at least.
//
// Both products fetch what is `ahead` (FetchNext), two lines with each step: more at once would hold up their own loads.
#pragma once

#include <framegrad/cpu/attention_panel.hpp>
#include <framegrad/cpu/gemm_epilogue.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

template <class T>
struct Rows {
  T* data;
  Index stride;
  FRAMEGRAD_INLINE T* operator[](Index i) const { return data + i * stride; }
};

/// R rows at the same column, as one pointer for every four: each address is one of them and one of three offsets.
template <int R, class A>
struct RowGroup {
  const A* first[(R + 3) / 4];
  Index stride, triple;
  FRAMEGRAD_INLINE RowGroup(const A* data, Index s) : stride(s), triple(3 * s) {
#pragma GCC unroll 4
    for (int g = 0; g < (R + 3) / 4; ++g) first[g] = data + 4 * g * s;
  }
  FRAMEGRAD_INLINE A operator[](int r) const { return first[r / 4][r % 4 == 3 ? triple : r % 4 * stride]; }
  FRAMEGRAD_INLINE void next() {
#pragma GCC unroll 4
    for (int g = 0; g < (R + 3) / 4; ++g) ++first[g];
  }
};

/// f(i) for groups of R in [0, n), the last of which may overlap the one before it; g(i) for each, where n has no R.
template <int R, class F, class G>
FRAMEGRAD_INLINE void groups(Index n, F f, G g) {
  if (n < R) {
    for (Index i = 0; i < n; ++i) g(i);
  } else {
    for (Index i = 0; i < n; i += R) f(n - i < R ? n - R : i);
  }
}

/// step() so many times, each beside two lines of what is ahead.
template <class F, class G>
FRAMEGRAD_INLINE void beside(F* ahead, Index steps, G step) {
  while (steps > 0) {
    const auto lines = ahead->take(steps);
    const char* at = lines.data;
    steps -= lines.pairs;
    for (Index n = lines.pairs; n > 0; --n, at += lines.stride) {
      __builtin_prefetch(at, 0, 2), __builtin_prefetch(at + 64, 0, 2);
      step();
    }
  }
}

/// Lanes behind `rows` are zero; times `factor`.
struct RowsToLanes {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(Rows<const T> from, Index rows, Index cols, A factor, A* to) {
    using V = Vec<A, B>;
    constexpr int L = V::lanes;
    const V f(factor);
    for (Index k = 0; k < cols; k += L) {
      const Index j = cols - k < L ? cols - L : k;
      V x[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) x[r] = r < rows ? detail::load_all<V>(from[r] + j) * f : V(0);
      detail::transpose(x);
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) detail::store_all(to + (j + r) * L, x[r]);
    }
  }
};

struct TakeRows {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(Rows<const T> from, Index rows, Index cols, Rows<A> to) {
    using V = Vec<A, B>;
    const auto copy = [&](const T* x, A* y) FRAMEGRAD_LAMBDA { detail::store_all(y, detail::load_all<V>(x)); };
    for (Index i = 0; i < rows; ++i) {
      for (Index k = 0; k < cols; k += V::lanes) {
        const Index j = cols - k < V::lanes ? cols - V::lanes : k;
        copy(from[i] + j, to[i] + j);
      }
    }
  }
};

/// The scores of a key are `to_stride` from those of the next.
struct RowScores {
  template <int R, class V, class A, class F>
  FRAMEGRAD_INLINE static void tile(Index cols, const A* rows, Index stride, const A* columns, Rows<A> to, F* ahead) {
    V acc[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r] = V(0);
    RowGroup<R, A> left(rows, stride);
    beside(ahead, cols, [&]() FRAMEGRAD_LAMBDA {
      const V x = detail::load_all<V>(columns);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r] = fma(V(left[r]), x, acc[r]);
      columns += V::lanes, left.next();
    });
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) detail::store_all(to[r], acc[r]);
  }

  template <int B, class A, class F>
  FRAMEGRAD_INLINE static void run(Rows<const A> from, Index rows, Index cols, const A* columns, Rows<A> to, F* ahead) {
    using V = Vec<A, B>;
    constexpr int R = B == 64 ? 16 : 8;  // of 32 or 16 registers
    const auto all = [&]<int N>(std::integral_constant<int, N>, Index i) FRAMEGRAD_LAMBDA {
      tile<N, V>(cols, from[i], from.stride, columns, Rows<A>{to[i], to.stride}, ahead);
    };
    const auto single = [&](Index i) FRAMEGRAD_LAMBDA { all(std::integral_constant<int, 1>{}, i); };
    if (R == 8 || rows < R) groups<8>(rows, [&](Index i) FRAMEGRAD_LAMBDA { all(std::integral_constant<int, 8>{}, i); }, single);
    else groups<R>(rows, [&](Index i) FRAMEGRAD_LAMBDA { all(std::integral_constant<int, R>{}, i); }, single);
  }
};

enum class Scores { of_rows, of_lanes };  // a(i, j) is scores[i][j], or scores[j][i]

/// has_bf16: the processor has an instruction that rounds to it.
template <Scores scores, bool has_bf16 = false>
struct SumRows {
  template <int R, int N, class V, class A, class T, class F>
  FRAMEGRAD_INLINE static void tile(Index depth, Rows<const A> a, Rows<const T> rows, const V& factor, Rows<T> to, F* ahead) {
    constexpr int L = V::lanes;
    V acc[R][N];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) acc[r][n] = V(0);
    }
    RowGroup<R, A> left(a.data, scores == Scores::of_rows ? a.stride : 1);
    const T* row = rows.data;
    beside(ahead, depth, [&]() FRAMEGRAD_LAMBDA {
      V right[N];
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) right[n] = detail::load_all<V>(row + n * L);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V l(scores == Scores::of_rows ? left[r] : a.data[r]);
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) acc[r][n] = fma(l, right[n], acc[r][n]);
      }
      if constexpr (scores == Scores::of_rows) left.next();
      else a.data += a.stride;
      row += rows.stride;
    });
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) {
        if constexpr (has_bf16 && V::bytes == 64) detail::store_by_instruction(Lanes<V>{n * L}, to[r], acc[r][n] * factor);
        else detail::store_all(to[r] + n * L, acc[r][n] * factor);
      }
    }
  }

  template <int B, class A, class T, class F>
  FRAMEGRAD_INLINE static void run(Index count, Index cols, Index depth, Rows<const A> a, Rows<const T> rows, A factor, Rows<T> to, F* ahead) {
    using V = Vec<A, B>;
    constexpr int L = V::lanes, R = B == 64 ? 8 : 4;
    const auto left = [&](Index i) FRAMEGRAD_LAMBDA { return Rows<const A>{scores == Scores::of_rows ? a[i] : a.data + i, a.stride}; };
    const auto at = [&]<int M, int N>(std::integer_sequence<int, M, N>, Index i, Index j) FRAMEGRAD_LAMBDA {
      tile<M, N, V>(depth, left(i), Rows<const T>{rows.data + j, rows.stride}, V(factor), Rows<T>{to[i] + j, to.stride}, ahead);
    };
    groups<R>(count,
              [&](Index i) FRAMEGRAD_LAMBDA {
                Index j = 0;
                for (; j + 2 * L <= cols; j += 2 * L) at(std::integer_sequence<int, R, 2>{}, i, j);
                for (; j < cols; j += L) at(std::integer_sequence<int, R, 1>{}, i, cols - j < L ? cols - L : j);
              },
              [&](Index i) FRAMEGRAD_LAMBDA {
                for (Index j = 0; j < cols; j += L) at(std::integer_sequence<int, 1, 1>{}, i, cols - j < L ? cols - L : j);
              });
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
