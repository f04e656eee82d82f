// group_norm — normalise over a sample's positions and the channels of a group, then scale and shift each channel.
//
//   μ = mean(x)    r = 1 / √(var(x) + eps)     over a group: all positions, C/groups channels; biased variance
//   x̂ = (x − μ)·r  z = x̂·γ + β                 Wu and He 2018 (arXiv:1803.08494), eq. 7
//   y = z, or silu(z) = z·sigmoid(z) in the fused form
//
// Gradient, with g = ∂L/∂z (in the fused form ∂L/∂y · silu′(z)) and h = g·γ:
//   ∂L/∂β = Σ g    ∂L/∂γ = Σ g·x̂               over samples and positions
//   ∂L/∂x = r·(h − mean(h) − x̂·mean(h·x̂))      means over the group
//
// Memory has the channels innermost: [N, S, C], S positions. Mean and variance are taken in chunks of positions that stay in L1, about the chunk's
// own mean, and joined in order by Chan et al.'s formula (1983): x is read from memory once for them and once for y.
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/formula/silu.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

/// Nothing follows the normalisation.
struct NormAlone {
  template <class V> FRAMEGRAD_INLINE static V value(const V& z) { return z; }
  template <class V> FRAMEGRAD_INLINE static V slope(const V&) { return V(1); }
};

template <class T, class Activation = NormAlone>
struct GroupNorm {
  static constexpr std::string_view name = std::is_same_v<Activation, NormAlone> ? "group_norm" : "group_norm_silu";
  static constexpr Layout layout = Layout::channels_last;
  using A = accum_t<T>;

  struct Attrs { Index groups; float eps = 1e-5f; };
  struct In    { Tensor<T> x, gamma, beta; };                         // x [N, C, ...]   gamma, beta [C]
  struct Out   { Tensor<T> y; };                                      // [N, C, ...]
  struct Saved { Tensor<T> x, gamma, beta; Tensor<A> mean, rstd; };   // mean, rstd [N, groups]

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    check_shape(in.x.rank() >= 2, name, "x is ", in.x.sizes(), ", it needs [N, C, ...]");
    const Index N = in.x.size(0), C = in.x.size(1);
    check_shape(a.groups > 0 && C % a.groups == 0, name, C, " channels don't divide into ", a.groups, " groups");
    check_shape(in.gamma.sizes() == Shape{C}, name, "gamma is ", in.gamma.sizes(), ", x needs ", Shape{C});
    check_shape(in.beta.sizes() == Shape{C}, name, "beta is ", in.beta.sizes(), ", x needs ", Shape{C});
    out = {like(in.x)};
    saved = {in.x, in.gamma, in.beta, of_shape<A>({N, a.groups}), of_shape<A>({N, a.groups})};
  }

  // Sizes, and how the positions are cut.
  struct Plan {
    Index N, S, C, groups, width;  // width: channels of a group
    Index rows, chunks;            // positions of a chunk, chunks of a sample
    Plan(const AnyTensor& x, Index g) : N(x.size(0)), C(x.size(1)), groups(g) {
      S = N * C == 0 ? 0 : x.count() / (N * C);
      width = C / groups;
      rows = std::max<Index>(16, (16 << 10) / (C * Index(sizeof(A))));  // 16 KiB
      chunks = (S + rows - 1) / rows;
    }
    Range chunk(Index i) const { return {i * rows, std::min(S, (i + 1) * rows)}; }
  };

  /// out[c] = Σ over the rows of f(row, lanes at c): four vectors of columns stay in registers.
  template <class V, class F>
  FRAMEGRAD_INLINE static void sum_columns(Index rows, Index C, A* out, F&& f) {
    constexpr int N = V::lanes;
    using L = cpu::Lanes<V>;
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
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
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
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index at = 0; at < rows * C; at += C)
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          l.store(y + at, Activation::value(fma(l.load(x + at) - l.load(mean), l.load(scale), l.load(beta))));
        });
    }
  };
  struct ColumnGrads {  // of one chunk: Σ g and Σ g·x̂ [C]
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, const A* mean, const A* rstd, const T* gamma, const T* beta, const T* dy, A* sum_g, A* sum_gx) {
      using V = cpu::Vec<A, B>;
      constexpr int N = V::lanes;
      for (Index c = 0; c < C; c += N) {
        const cpu::Lanes<V> l{c, int(std::min<Index>(N, C - c))};
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
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index at = 0; at < rows * C; at += C)
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V r = l.load(rstd), w = l.load(gamma), xn = (l.load(x + at) - l.load(mean)) * r;
          const V h = l.load(dy + at) * Activation::slope(fma(xn, w, l.load(beta))) * w;
          l.store(dx + at, r * (h - l.load(mean_h) - xn * l.load(mean_hx)));
        });
    }
  };

  /// [groups] → [C]
  static void to_channels(const Plan& p, const A* by_group, A* by_channel) {
    for (Index c = 0; c < p.C; ++c) by_channel[c] = by_group[c / p.width];
  }

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    const Plan p(in.x, a.groups);
    if (in.x.count() == 0) return;
    std::vector<A> means(std::size_t(p.N * p.chunks * p.groups)), squares(means.size());
    parallel_for(p.N * p.chunks, 0.2 * double(p.rows * p.C), [&](Range range) {
      std::vector<A> column(std::size_t(2 * p.C));
      for (Index i = range.begin; i < range.end; ++i) {
        const Range rows = p.chunk(i % p.chunks);
        cpu::dispatch<Moments>(rows.size(), p.C, p.width, static_cast<const T*>(in.x.data() + (i / p.chunks * p.S + rows.begin) * p.C), means.data() + i * p.groups,
                               squares.data() + i * p.groups, column.data());
      }
    });
    std::vector<A> mean(std::size_t(p.N * p.C)), scale(mean.size());
    for (Index n = 0; n < p.N; ++n)
      for (Index g = 0; g < p.groups; ++g) {
        A m = 0, s = 0, count = 0;
        for (Index chunk = 0; chunk < p.chunks; ++chunk) {
          const auto i = std::size_t((n * p.chunks + chunk) * p.groups + g);
          const A more = A(p.chunk(chunk).size() * p.width), all = count + more, delta = means[i] - m;
          m += delta * (more / all);
          s += squares[i] + delta * delta * (count * more / all);
          count = all;
        }
        const A r = 1 / std::sqrt(s / count + A(a.eps));
        for (Index c = g * p.width; c < (g + 1) * p.width; ++c) mean[std::size_t(n * p.C + c)] = m, scale[std::size_t(n * p.C + c)] = r * A(in.gamma.data()[c]);
        if (saved) saved->mean.data()[n * p.groups + g] = m, saved->rstd.data()[n * p.groups + g] = r;
      }
    parallel_for(p.N * p.chunks, 0.5 * double(p.rows * p.C), [&](Range range) {
      for (Index i = range.begin; i < range.end; ++i) {
        const Index n = i / p.chunks, at = (n * p.S + p.chunk(i % p.chunks).begin) * p.C;
        cpu::dispatch<Normalise>(p.chunk(i % p.chunks).size(), p.C, static_cast<const T*>(in.x.data() + at), static_cast<const A*>(mean.data() + n * p.C),
                                 static_cast<const A*>(scale.data() + n * p.C), static_cast<const T*>(in.beta.data()), out.y.data() + at);
      }
    });
  }

  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const Plan p(saved.x, a.groups);
    const auto CN = std::size_t(p.N * p.C);
    const T *x = saved.x.data(), *dy = g.y.data(), *gamma = saved.gamma.data(), *beta = saved.beta.data();
    std::vector<A> mean(CN), rstd(CN), sum_g(CN), sum_gx(CN), mean_h(CN), mean_hx(CN), part_g(CN * std::size_t(p.chunks)), part_gx(part_g.size());
    for (Index n = 0; n < p.N; ++n) {
      to_channels(p, saved.mean.data() + n * p.groups, mean.data() + n * p.C);
      to_channels(p, saved.rstd.data() + n * p.groups, rstd.data() + n * p.C);
    }
    parallel_for(p.N * p.chunks, 0.5 * double(p.rows * p.C), [&](Range range) {
      for (Index i = range.begin; i < range.end; ++i) {
        const Index n = i / p.chunks, at = (n * p.S + p.chunk(i % p.chunks).begin) * p.C;
        cpu::dispatch<ColumnGrads>(p.chunk(i % p.chunks).size(), p.C, x + at, static_cast<const A*>(mean.data() + n * p.C), static_cast<const A*>(rstd.data() + n * p.C),
                                   gamma, beta, dy + at, part_g.data() + i * p.C, part_gx.data() + i * p.C);
      }
    });
    for (Index n = 0; n < p.N; ++n)
      for (Index chunk = 0; chunk < p.chunks; ++chunk)
        for (Index c = 0; c < p.C; ++c) {
          const auto to = std::size_t(n * p.C + c), from = std::size_t((n * p.chunks + chunk) * p.C + c);
          sum_g[to] += part_g[from], sum_gx[to] += part_gx[from];
        }
    const auto over_samples = [&](const std::vector<A>& sums, Tensor<T>& to) {
      if (!to.defined()) return;
      for (Index c = 0; c < p.C; ++c) {
        A s = 0;
        for (Index n = 0; n < p.N; ++n) s += sums[std::size_t(n * p.C + c)];
        to.data()[c] = T(s);
      }
    };
    over_samples(sum_gx, d.gamma);
    over_samples(sum_g, d.beta);
    if (!d.x.defined()) return;
    for (Index n = 0; n < p.N; ++n)
      for (Index group = 0; group < p.groups; ++group) {
        A h = 0, hx = 0;
        for (Index c = group * p.width; c < (group + 1) * p.width; ++c) {
          h += A(gamma[c]) * sum_g[std::size_t(n * p.C + c)];
          hx += A(gamma[c]) * sum_gx[std::size_t(n * p.C + c)];
        }
        for (Index c = group * p.width; c < (group + 1) * p.width; ++c) {
          mean_h[std::size_t(n * p.C + c)] = h / A(p.S * p.width);
          mean_hx[std::size_t(n * p.C + c)] = hx / A(p.S * p.width);
        }
      }
    parallel_for(p.N * p.chunks, 0.5 * double(p.rows * p.C), [&](Range range) {
      for (Index i = range.begin; i < range.end; ++i) {
        const Index n = i / p.chunks, at = (n * p.S + p.chunk(i % p.chunks).begin) * p.C;
        cpu::dispatch<InputGrads>(p.chunk(i % p.chunks).size(), p.C, x + at, static_cast<const A*>(mean.data() + n * p.C), static_cast<const A*>(rstd.data() + n * p.C),
                                  gamma, beta, static_cast<const A*>(mean_h.data() + n * p.C), static_cast<const A*>(mean_hx.data() + n * p.C), dy + at,
                                  d.x.data() + at);
      }
    });
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [N, C, ...], gamma [C], beta [C] → [N, C, ...]. Throws ShapeError if C doesn't divide into groups, or gamma or beta is not [C].
template <class T, int R>
Tensor<T, R> group_norm(const Tensor<T, R>& x, Index groups, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta, float eps = 1e-5f) {
  return Tensor<T, R>(apply<ops::GroupNorm<T>>({.groups = groups, .eps = eps}, {x, gamma, beta}));
}
/// silu(group_norm(…)) in one pass.
template <class T, int R>
Tensor<T, R> group_norm_silu(const Tensor<T, R>& x, Index groups, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta, float eps = 1e-5f) {
  return Tensor<T, R>(apply<ops::GroupNorm<T, formula::Silu>>({.groups = groups, .eps = eps}, {x, gamma, beta}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
