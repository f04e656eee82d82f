// The loops of group_norm, for either order of memory. Letters as in ops/group_norm.hpp; S positions, C channels.
//
//   planes   [C][S]: a channel's positions are contiguous, and so is a group. Walked in pieces of a channel
//   rows     [S][C]: a position's channels are contiguous. Walked in chunks of rows
//
// Activation::value(z) follows the normalisation, with Activation::slope(z).
#pragma once

#include <algorithm>

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/math.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// Mean, and sum of squares about it, of `count` numbers; joined in order by the formula of Chan et al. (1983).
template <class A>
struct GroupMoments {
  A count = 0, mean = 0, squares = 0;
  void join(A more, A mean_of_more, A squares_of_more) {
    const A all = count + more, delta = mean_of_more - mean;
    mean += delta * (more / all);
    squares += squares_of_more + delta * delta * (count * more / all);
    count = all;
  }
};

/// A channel of S positions in pieces that stay in the first-level cache.
struct GroupPieces {
  static constexpr Index kPiece = 4096;
  Index S, each = (S + kPiece - 1) / kPiece;  // pieces of a channel
  Index channel(Index piece) const { return piece / each; }
  Index begin(Index piece) const { return channel(piece) * S + piece % each * kPiece; }
  Index size(Index piece) const { return std::min(kPiece, S - piece % each * kPiece); }
};

template <class T, class Activation>
struct GroupNormPlanes {
  using A = accum_t<T>;

  struct Moments {  // of the pieces of `size` numbers: means and squares, one a piece
    template <int B>
    FRAMEGRAD_INLINE static void run(Range pieces, Index size, const T* x, A* means, A* squares) {
      using V = Vec<A, B>;
      using L = Lanes<V>;
      for (Index i = pieces.begin; i < pieces.end; ++i) {
        const T* const at = x + i * GroupPieces::kPiece;
        const Index n = std::min(GroupPieces::kPiece, size - i * GroupPieces::kPiece);
        const A mean = sum<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(at); }) / A(n);
        const V about(mean);
        squares[i] = sum<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V v = l.load(at) - about;
          return v * v;
        });
        means[i] = mean;
      }
    }
  };

  struct Normalise {  // gamma, beta [channels]
    template <int B>
    FRAMEGRAD_INLINE static void run(Range range, const GroupPieces& p, const T* x, A mean, A rstd, const T* gamma, const T* beta, T* y) {
      using V = Vec<A, B>;
      using L = Lanes<V>;
      const V m(mean);
      for (Index i = range.begin; i < range.end; ++i) {
        const T* const from = x + p.begin(i);
        T* const to = y + p.begin(i);
        const V scale = V(rstd * A(gamma[p.channel(i)])), shift = V(A(beta[p.channel(i)]));
        each<V>(p.size(i), [&](const L& l) FRAMEGRAD_LAMBDA { l.store(to, Activation::value(fma(l.load(from) - m, scale, shift))); });
      }
    }
  };

  struct Sums {  // Σ g and Σ g·x̂, one a piece; g itself if kept
    template <int B>
    FRAMEGRAD_INLINE static void run(Range range, const GroupPieces& p, const T* x, A mean, A rstd, const T* gamma, const T* beta, const T* dy, A* kept, A* sum_g, A* sum_gx) {
      using V = Vec<A, B>;
      constexpr int N = V::lanes;
      const V m(mean), r(rstd);
      for (Index i = range.begin; i < range.end; ++i) {
        const Index at = p.begin(i), n = p.size(i);
        const V w = V(A(gamma[p.channel(i)])), b = V(A(beta[p.channel(i)]));
        V s(0), sx(0);
        for (Index j = 0; j < n; j += N) {
          const Lanes<V> l{at + j, int(std::min<Index>(N, n - j))};
          const V xn = (l.load(x) - m) * r, g = l.load(dy) * Activation::slope(fma(xn, w, b));
          if (kept) l.store(kept, g);
          s += g, sx += g * xn;
        }
        sum_g[i] = sum_across(s), sum_gx[i] = sum_across(sx);
      }
    }
  };

  struct InputGrads {  // mean_h, mean_hx: the group's means of h and h·x̂; kept: g if it was kept
    template <int B>
    FRAMEGRAD_INLINE static void run(Range range, const GroupPieces& p, const T* x, A mean, A rstd, const T* gamma, const T* beta, const T* dy, const A* kept, A mean_h,
                                     A mean_hx, T* dx) {
      using V = Vec<A, B>;
      using L = Lanes<V>;
      const V m(mean), r(rstd), h(mean_h), hx(mean_hx);
      for (Index i = range.begin; i < range.end; ++i) {
        const Index at = p.begin(i);
        const V w = V(A(gamma[p.channel(i)])), b = V(A(beta[p.channel(i)]));
        if (kept) {
          each<V>(p.size(i), [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dx + at, r * (l.load(kept + at) * w - h - (l.load(x + at) - m) * r * hx)); });
        } else {
          each<V>(p.size(i), [&](const L& l) FRAMEGRAD_LAMBDA {
            const V xn = (l.load(x + at) - m) * r, g = l.load(dy + at) * Activation::slope(fma(xn, w, b));
            l.store(dx + at, r * (g * w - h - xn * hx));
          });
        }
      }
    }
  };
};

template <class T, class Activation>
struct GroupNormRows {
  using A = accum_t<T>;

  /// out[c] = Σ over the rows of f(row, lanes at c): four vectors of columns stay in registers.
  template <class V, class F>
  FRAMEGRAD_INLINE static void sum_columns(Index rows, Index C, A* out, F&& f) {
    constexpr int N = V::lanes;
    using L = Lanes<V>;
    Index c = 0;
    for (; c + 4 * N <= C; c += 4 * N) {
      const L l0{c}, l1{c + N}, l2{c + 2 * N}, l3{c + 3 * N};
      V a0(0), a1(0), a2(0), a3(0);
      for (Index row = 0; row < rows; ++row) a0 += f(row, l0), a1 += f(row, l1), a2 += f(row, l2), a3 += f(row, l3);
      l0.store(out, a0), l1.store(out, a1), l2.store(out, a2), l3.store(out, a3);
    }
    for (; c < C; c += N) {
      const L l{c, int(std::min<Index>(N, C - c))};
      V a(0);
      for (Index row = 0; row < rows; ++row) a += f(row, l);
      l.store(out, a);
    }
  }

  struct Moments {  // of one chunk: x [rows, C] → mean, squares about it [groups]; column [2C] is scratch
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, Index width, const T* x, A* mean, A* squares, A* column) {
      using V = Vec<A, B>;
      using L = Lanes<V>;
      A* about = column + C;
      sum_columns<V>(rows, C, column, [&](Index row, const L& l) FRAMEGRAD_LAMBDA { return l.load(x + row * C); });
      for (Index g = 0; g * width < C; ++g) {
        A s = 0;
        for (Index c = g * width; c < (g + 1) * width; ++c) s += column[c];
        mean[g] = s / A(rows * width);
        for (Index c = g * width; c < (g + 1) * width; ++c) about[c] = mean[g];
      }
      sum_columns<V>(rows, C, column, [&](Index row, const L& l) FRAMEGRAD_LAMBDA {
        const V v = l.load(x + row * C) - l.load(about);
        return v * v;
      });
      for (Index g = 0; g * width < C; ++g) {
        A s = 0;
        for (Index c = g * width; c < (g + 1) * width; ++c) s += column[c];
        squares[g] = s;
      }
    }
  };

  struct Normalise {  // mean, scale = r·γ, beta [C]
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, const A* mean, const A* scale, const T* beta, T* y) {
      using V = Vec<A, B>;
      using L = Lanes<V>;
      for (Index at = 0; at < rows * C; at += C)
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          l.store(y + at, Activation::value(fma(l.load(x + at) - l.load(mean), l.load(scale), l.load(beta))));
        });
    }
  };

  struct Sums {  // of one chunk: Σ g and Σ g·x̂ [C]
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, const A* mean, const A* rstd, const T* gamma, const T* beta, const T* dy, A* sum_g, A* sum_gx) {
      using V = Vec<A, B>;
      constexpr int N = V::lanes;
      for (Index c = 0; c < C; c += N) {
        const Lanes<V> l{c, int(std::min<Index>(N, C - c))};
        const V m = l.load(mean), r = l.load(rstd), w = l.load(gamma), b = l.load(beta);
        V s(0), sx(0);
        for (Index at = 0; at < rows * C; at += C) {
          const V xn = (l.load(x + at) - m) * r, g = l.load(dy + at) * Activation::slope(fma(xn, w, b));
          s += g, sx += g * xn;
        }
        l.store(sum_g, s), l.store(sum_gx, sx);
      }
    }
  };

  struct InputGrads {  // mean_h, mean_hx [C]: the group's means of h and h·x̂
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, const A* mean, const A* rstd, const T* gamma, const T* beta, const A* mean_h, const A* mean_hx,
                                     const T* dy, T* dx) {
      using V = Vec<A, B>;
      using L = Lanes<V>;
      for (Index at = 0; at < rows * C; at += C)
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V r = l.load(rstd), w = l.load(gamma), xn = (l.load(x + at) - l.load(mean)) * r;
          const V h = l.load(dy + at) * Activation::slope(fma(xn, w, l.load(beta))) * w;
          l.store(dx + at, r * (h - l.load(mean_h) - xn * l.load(mean_hx)));
        });
    }
  };
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
