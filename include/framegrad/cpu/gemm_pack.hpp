// Packing for gemm: an operand X[line, k] brought into the order that the tiles read.
//
// A tile multiplies units: numbers of the accumulator's type, or for bf16 where the processor multiplies pairs, two
// neighbours of k in 32 bits (the first in the lower half). Numbers behind the end of k are zero.
//
//   sliver   [units][W]       W lines side by side, W two vectors wide: the right operand
//   rows     [lines][stride]  units side by side: the left operand, where its own memory isn't like that already
//   panel    [units + 1][P]   P lines side by side, a register tile's rows: the left operand of memory contiguous across the lines
//
// Either comes from memory contiguous in k or across the lines: where source and destination disagree, N×N units are
// transposed in registers.
#pragma once

#include <framegrad/cpu/gemm_ahead.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

constexpr Index ceil_div(Index n, Index step) { return (n + step - 1) / step; }
constexpr Index round_up(Index n, Index step) { return ceil_div(n, step) * step; }

/// Two bf16 as the processor's dot products take them.
using Pair = std::uint32_t;

template <class U> inline constexpr int kUnitDepth = std::is_same_v<U, Pair> ? 2 : 1;

/// Lines of a panel, with vectors of B bytes.
template <int B> inline constexpr int kPanel = B == 64 ? 12 : B == 32 ? 6 : 4;

/// X[line, k] = data[line·line_stride + k·k_stride], k in [0, depth). `ahead` numbers behind lies what is next, and is fetched into the caches
/// while this one is multiplied.
template <class T>
struct Operand {
  const T* data;
  Index lines, depth, line_stride, k_stride, ahead = 0;
};

/// Memory read in runs shorter than a page is fetched so many rows ahead: the processor doesn't guess those on the next page.
inline constexpr Index kRowsAhead = 12;

namespace detail {

/// Before lines [line, line + count) of k are read: what is read some rows later.
template <class T>
FRAMEGRAD_INLINE void fetch_row(const Operand<T>& x, Index line, Index count, Index k, Index rows_ahead) {
  if (x.line_stride != 1) return;
  if (k + rows_ahead >= x.depth) return;
  const char* const p = reinterpret_cast<const char*>(x.data + line + (k + rows_ahead) * x.k_stride);
  for (Index i = 0; i < count * Index(sizeof(T)); i += 64) __builtin_prefetch(p + i, 0, 2);
}

template <int Step, class V, int... I>
FRAMEGRAD_INLINE void exchange(V& a, V& b, std::integer_sequence<int, I...>) {
  constexpr int N = V::lanes;
  const V low = V::of(__builtin_shufflevector(a.v, b.v, (I & Step ? I - Step + N : I)...));
  b = V::of(__builtin_shufflevector(a.v, b.v, (I & Step ? I + N : I + Step)...));
  a = low;
}

/// The N vectors of N lanes as a matrix, transposed: blocks of Step lanes change place, Step = 1, 2, 4, …
template <int Step = 1, class V>
FRAMEGRAD_INLINE void transpose(V* x) {
  constexpr int N = V::lanes;
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i)
    if (!(i & Step)) exchange<Step>(x[i], x[i + Step], std::make_integer_sequence<int, N>{});
  if constexpr (2 * Step < N) transpose<2 * Step>(x);
}

/// Read from n − count on: a mask of the first `count` of n numbers.
template <int n>
struct FirstOf {
  std::uint16_t mask[2 * n] = {};
  constexpr FirstOf() { for (int i = 0; i < n; ++i) mask[i] = 0xffff; }
};
template <int n> inline constexpr FirstOf<n> kFirstOf;

/// Units [unit, unit + N) of one line, of memory contiguous in k.
template <class V, class T>
FRAMEGRAD_INLINE V along_k(const Operand<T>& x, Index line, Index unit) {
  using U = typename V::Scalar;
  constexpr int N = V::lanes, D = kUnitDepth<U>;
  const T* p = x.data + line * x.line_stride + unit * D;
  const Index left = x.depth - unit * D;
  if constexpr (D == 1) {
    return Lanes<V>{0, left < N ? int(left) : N}.load(p);
  } else {
    if (left >= 2 * N) return load_all<V>(reinterpret_cast<const Pair*>(p));
    if (line * x.line_stride + unit * D + 2 * N <= (x.lines - 1) * x.line_stride + x.depth)  // what comes before the operand's end is read along, and dropped
      return load_all<V>(reinterpret_cast<const Pair*>(p)) & load_all<V>(reinterpret_cast<const Pair*>(kFirstOf<2 * N>.mask + 2 * N - left));
    alignas(64) T part[2 * N] = {};
    copy_rest<N>(part, p, int(left));
    return load_all<V>(reinterpret_cast<const Pair*>(part));
  }
}

/// One unit of lines [line, line + count).
template <class V, class T>
FRAMEGRAD_INLINE V across_lines(const Operand<T>& x, Index unit, Index line, int count) {
  using U = typename V::Scalar;
  constexpr int N = V::lanes, D = kUnitDepth<U>;
  const T* p = x.data + line * x.line_stride + unit * D * x.k_stride;
  const bool second = D == 2 && unit * D + 1 < x.depth;
  T gathered[2][N] = {};
  const T* rows[2] = {p, p + x.k_stride};
  if (x.line_stride != 1) {
    for (int r = 0; r <= int(second); ++r) {
      for (int i = 0; i < count; ++i) gathered[r][i] = p[i * x.line_stride + r * x.k_stride];
      rows[r] = gathered[r];
    }
  }
  const Lanes<V> l{0, count};
  if constexpr (D == 1) {
    return l.load(rows[0]);
  } else {
    const V low = l.load(reinterpret_cast<const std::uint16_t*>(rows[0]));
    return second ? low | l.load(reinterpret_cast<const std::uint16_t*>(rows[1])) << 16 : low;
  }
}

/// One unit of lines that lie side by side, the first of 2·N at p: low of N from there, high of N that begin `apart` ≤ N further on.
template <int apart, class V, class T, int... I>
FRAMEGRAD_INLINE void side_by_side(const T* p, Index k_stride, V& low, V& high, std::integer_sequence<int, I...>) {
  if constexpr (kUnitDepth<typename V::Scalar> == 1) {
    low = load_all<V>(p), high = load_all<V>(p + apart);
  } else {  // I counts numbers: the even ones from k, the odd ones from k + 1
    constexpr int n = sizeof...(I);
    typename Native<std::uint16_t, V::bytes>::type a, b;
    __builtin_memcpy(&a, p, sizeof a), __builtin_memcpy(&b, p + k_stride, sizeof b);
    const auto first = __builtin_shufflevector(a, b, (I / 2 + I % 2 * n)...), second = __builtin_shufflevector(a, b, (apart + I / 2 + I % 2 * n)...);
    __builtin_memcpy(&low.v, &first, sizeof first), __builtin_memcpy(&high.v, &second, sizeof second);
  }
}

/// Unit `unit` of lines [line, line + lines) that lie side by side: put(i, low, high) for every `step` of them as far as whole vectors may be read,
/// high beginning step/2 after low. Returns how many were taken. What is read some rows later is fetched along.
template <int step, class V, class T, class F>
FRAMEGRAD_INLINE Index take_side_by_side(const Operand<T>& x, Index line, Index lines, Index unit, F&& put) {
  constexpr int D = kUnitDepth<typename V::Scalar>, N = V::lanes;
  const Index k = unit * D;
  if (x.line_stride != 1 || k + D > x.depth) return 0;
  const T* const p = x.data + line + k * x.k_stride;
  const T* const later = k + D + kRowsAhead <= x.depth ? p + kRowsAhead * x.k_stride : p;
  if (lines > x.lines - line) lines = x.lines - line;
  Index i = 0;
  for (; i + 2 * N <= lines; i += step) {
#pragma GCC unroll 2
    for (int d = 0; d < D; ++d)
#pragma GCC unroll 4
      for (int byte = 0; byte < step * int(sizeof(T)); byte += 64) __builtin_prefetch(reinterpret_cast<const char*>(later + i + d * x.k_stride) + byte, 0, 2);
    V low, high;
    side_by_side<step / 2>(p + i, x.k_stride, low, high, std::make_integer_sequence<int, D * N>{});
    put(i, low, high);
  }
  return i;
}

}  // namespace detail

/// Units [first, first + units) of the `lines` lines from `line` on, as slivers one behind the other.
template <class T, class U>
struct PackSlivers {
  template <int B>
  FRAMEGRAD_INLINE static void run(Operand<T> x, Index line, Index lines, Index first, Index units, U* to) {
    using V = Vec<U, B>;
    constexpr int N = V::lanes, W = 2 * N;
    const auto lines_at = [&](Index from) FRAMEGRAD_LAMBDA { return from >= x.lines ? 0 : x.lines - from < N ? int(x.lines - from) : N; };
    if (x.k_stride == 1 && (x.line_stride != 1 || x.depth > 1)) {
      for (Index i = 0; i < lines; i += N) {
        U* const out = to + i / W * W * units + i % W;
        const int count = lines_at(line + i);
        for (Index u = 0; u < units; u += N) {
          V block[N];
#pragma GCC unroll 16
          for (int j = 0; j < N; ++j) block[j] = j < count ? detail::along_k<V>(x, line + i + j, first + u) : V(U(0));
          detail::transpose(block);
          const int rest = units - u < N ? int(units - u) : N;
#pragma GCC unroll 16
          for (int j = 0; j < N; ++j)
            if (j < rest) detail::store_all(out + (u + j) * W, block[j]);
        }
      }
    } else {  // unit by unit, so that memory is read in long runs
      for (Index u = 0; u < units; ++u) {
        const bool inside = (first + u) * kUnitDepth<U> < x.depth;
        Index i = detail::take_side_by_side<W, V>(x, line, lines, first + u, [&](Index at, const V& low, const V& high) FRAMEGRAD_LAMBDA {
          detail::store_all(to + at * units + u * W, low), detail::store_all(to + at * units + u * W + N, high);
        });
        for (; i < lines; i += N) {
          const int count = inside ? lines_at(line + i) : 0;
          detail::store_all(to + i / W * W * units + u * W + i % W, count ? detail::across_lines<V>(x, first + u, line + i, count) : V(U(0)));
        }
      }
    }
  }
};

/// Units [first, first + units) of lines [line, line + lines) as rows of `stride` units, a multiple of the vector's lanes;
/// lines up to a multiple of `whole` are filled with zeros.
template <class T, class U>
struct PackRows {
  template <int B>
  FRAMEGRAD_INLINE static void run(Operand<T> x, Index line, Index lines, Index whole, Index first, Index units, U* to, Index stride) {
    using V = Vec<U, B>;
    constexpr int N = V::lanes;
    const Index filled = (lines + whole - 1) / whole * whole;
    if (x.k_stride == 1) {
      for (Index i = 0; i < lines; ++i)
        for (Index u = 0; u < units; u += N) detail::store_all(to + i * stride + u, detail::along_k<V>(x, line + i, first + u));
    } else {
      constexpr Index deep = N * kUnitDepth<U>;
      for (Index u = 0; u < units; u += N) {
        for (Index d = 0; d < deep; ++d) detail::fetch_row(x, line, lines, first * kUnitDepth<U> + u * kUnitDepth<U> + d, deep);
        for (Index i = 0; i < lines; i += N) {
          const int count = lines - i < N ? int(lines - i) : N;
          V block[N];
#pragma GCC unroll 16
          for (int j = 0; j < N; ++j) block[j] = u + j < units ? detail::across_lines<V>(x, first + u + j, line + i, count) : V(U(0));
          detail::transpose(block);
#pragma GCC unroll 16
          for (int j = 0; j < N; ++j)
            if (j < count) detail::store_all(to + (i + j) * stride + u, block[j]);
        }
      }
    }
    for (Index i = lines; i < filled; ++i)
      for (Index u = 0; u < units; u += N) detail::store_all(to + i * stride + u, V(U(0)));
  }
};

/// Units [first, first + units) of lines [line, line + lines) as panels one behind the other. Each unit is stored by whole vectors,
/// the next over what they leave behind it: hence a panel's room for one unit more.
template <class T, class U>
struct PackPanels {
  template <int B>
  FRAMEGRAD_INLINE static void run(Operand<T> x, Index line, Index lines, Index first, Index units, U* to) {
    using V = Vec<U, B>;
    constexpr int N = V::lanes, P = kPanel<B>;
    x.line_stride = 1;  // as it is
    for (Index u = 0; u < units; ++u) {
      Index i = 0;
      if constexpr (P <= N) i = detail::take_side_by_side<2 * P, V>(x, line, lines, first + u, [&](Index at, const V& low, const V& high) FRAMEGRAD_LAMBDA {
        U* const panel = to + at * (units + 1) + u * P;
        detail::store_all(panel, low), detail::store_all(panel + (units + 1) * P, high);
      });
      for (; i < lines; i += P) {
        const Index left = x.lines - line - i;
        for (int j = 0; j < P && j < left; j += N)
          detail::store_all(to + i * (units + 1) + u * P + j, detail::across_lines<V>(x, first + u, line + i + j, left - j < N ? int(left - j) : N));
      }
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
