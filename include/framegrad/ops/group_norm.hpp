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
// Memory is [N, C, S] or [N, S, C], S positions, as x comes; y and the gradients follow it. Mean and variance are taken in pieces that stay
// in L1, about the piece's own mean, and joined in order.
#pragma once

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/group_norm.hpp>
#include <framegrad/cuda/group_norm.hpp>
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
  static constexpr Layout layout = Layout::channels;
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

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    if (in.x.count() == 0) return;
    const Sizes z(in.x, a.groups);
    const auto keep = [&](Index unit, A mean, A rstd) {
      if (saved) saved->mean.data()[unit] = mean, saved->rstd.data()[unit] = rstd;
    };
    if (z.planes) forward_planes(z, A(a.eps), in, out.y.data(), keep);
    else forward_rows(z, A(a.eps), in, out.y.data(), keep);
  }

  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const Sizes z(saved.x, a.groups);
    ChannelSums sums{std::vector<A>(std::size_t(z.N * z.C)), std::vector<A>(std::size_t(z.N * z.C))};
    if (saved.x.count() != 0) z.planes ? backward_planes(z, saved, g, d, sums) : backward_rows(z, saved, g, d, sums);
    const auto over_samples = [&](const std::vector<A>& of, Tensor<T>& to) {
      if (!to.defined()) return;
      for (Index c = 0; c < z.C; ++c) {
        A s = 0;
        for (Index n = 0; n < z.N; ++n) s += of[std::size_t(n * z.C + c)];
        to.data()[c] = T(s);
      }
    };
    over_samples(sums.gx, d.gamma);
    over_samples(sums.g, d.beta);
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    Tensor<A> mean = of_shape<A>({in.x.size(0), a.groups}), rstd = mean;
    if (saved) mean = saved->mean, rstd = saved->rstd;
    else mean.allocate(in.x.device()), rstd.allocate(in.x.device());
    Kernels::forward(on_device(in.x, a.groups), a.eps, in.x.data(), in.gamma.data(), in.beta.data(), out.y.data(), mean.data(), rstd.data());
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const auto wanted = [](const Tensor<T>& t) { return t.defined() ? t.data() : nullptr; };
    Kernels::backward(on_device(saved.x, a.groups), saved.x.data(), saved.gamma.data(), saved.beta.data(), g.y.data(), saved.mean.data(), saved.rstd.data(), wanted(d.x),
                      wanted(d.gamma), wanted(d.beta));
  }

  template <class Where>
  static void recompute(Where on, const Attrs& a, const Saved& s, Out& out) { forward(on, a, {s.x, s.gamma, s.beta}, out, nullptr); }

 private:
  using Planes = cpu::GroupNormPlanes<T, Activation>;
  using Rows = cpu::GroupNormRows<T, Activation>;

  struct Sizes {
    Index N, S, C, groups, width;  // width: channels of a group
    bool planes;                   // [N, C, S]
    Index rows, chunks;            // of [N, S, C]: positions of a chunk, 16 KiB; chunks of a sample
    Sizes(const AnyTensor& x, Index g) : N(x.size(0)), C(x.size(1)), groups(g) {
      S = N * C == 0 ? 0 : x.count() / (N * C);
      width = C / groups;
      planes = S > 1 && x.is_row_major();
      rows = std::max<Index>(16, (16 << 10) / (std::max<Index>(C, 1) * Index(sizeof(A))));
      chunks = (S + rows - 1) / rows;
    }
    Range chunk(Index i) const { return {i * rows, std::min(S, (i + 1) * rows)}; }
  };
  using Kernels = cuda::GroupNormKernels<T, !std::is_same_v<Activation, NormAlone>>;
  static cuda::GroupShape on_device(const AnyTensor& x, Index groups) {
    const Sizes z(x, groups);
    return {z.N, z.C, z.S, groups, z.planes};
  }
  struct ChannelSums {
    std::vector<A> g, gx;  // Σ g and Σ g·x̂ over the positions [N, C]
    /// The means of h and h·x̂ over the group of channels [c, c + width) of sample n.
    std::pair<A, A> means(const Sizes& z, const T* gamma, Index n, Index c) const {
      A h = 0, hx = 0;
      for (Index i = c; i < c + z.width; ++i) {
        h += A(gamma[i]) * g[std::size_t(n * z.C + i)];
        hx += A(gamma[i]) * gx[std::size_t(n * z.C + i)];
      }
      return {h / A(z.S * z.width), hx / A(z.S * z.width)};
    }
  };

  /// f(unit) for every group of every sample: by the threads, or one after the other where f has to spread each.
  template <class F>
  static void each_unit(const Sizes& z, double cost, F&& f) {
    const Index units = z.N * z.groups;
    const auto all = [&](Range r) {
      for (Index unit = r.begin; unit < r.end; ++unit) f(unit);
    };
    if (units < 2 * threads()) all({0, units});
    else parallel_for(units, cost * double(z.width * z.S), all);
  }

  template <class Keep>
  static void forward_planes(const Sizes& z, A eps, const In& in, T* y, Keep&& keep) {
    const cpu::GroupPieces p{z.S};
    const Index size = z.width * z.S, parts = (size + p.kPiece - 1) / p.kPiece;
    each_unit(z, 0.5, [&](Index unit) {
      const T* const x = in.x.data() + unit * size;
      std::vector<A> means(static_cast<std::size_t>(parts)), squares(means.size());
      parallel_for(parts, 0.2 * double(p.kPiece), [&](Range r) { cpu::dispatch<typename Planes::Moments>(r, size, x, means.data(), squares.data()); });
      cpu::GroupMoments<A> m;
      for (Index i = 0; i < parts; ++i) m.join(A(std::min(p.kPiece, size - i * p.kPiece)), means[std::size_t(i)], squares[std::size_t(i)]);
      const A rstd = 1 / std::sqrt(m.squares / m.count + eps);
      keep(unit, m.mean, rstd);
      const Index c = unit % z.groups * z.width;
      parallel_for(z.width * p.each, 0.5 * double(p.kPiece), [&](Range r) {
        cpu::dispatch<typename Planes::Normalise>(r, p, x, m.mean, rstd, static_cast<const T*>(in.gamma.data() + c), static_cast<const T*>(in.beta.data() + c), y + unit * size);
      });
    });
  }

  template <class Keep>
  static void forward_rows(const Sizes& z, A eps, const In& in, T* y, Keep&& keep) {
    std::vector<A> means(std::size_t(z.N * z.chunks * z.groups)), squares(means.size());
    parallel_for(z.N * z.chunks, 0.2 * double(z.rows * z.C), [&](Range range) {
      std::vector<A> column(std::size_t(2 * z.C));
      for (Index i = range.begin; i < range.end; ++i) {
        const Range rows = z.chunk(i % z.chunks);
        cpu::dispatch<typename Rows::Moments>(rows.size(), z.C, z.width, static_cast<const T*>(in.x.data() + (i / z.chunks * z.S + rows.begin) * z.C), means.data() + i * z.groups,
                                              squares.data() + i * z.groups, column.data());
      }
    });
    std::vector<A> mean(std::size_t(z.N * z.C)), scale(mean.size());
    for (Index n = 0; n < z.N; ++n)
      for (Index g = 0; g < z.groups; ++g) {
        cpu::GroupMoments<A> m;
        for (Index chunk = 0; chunk < z.chunks; ++chunk) {
          const auto i = std::size_t((n * z.chunks + chunk) * z.groups + g);
          m.join(A(z.chunk(chunk).size() * z.width), means[i], squares[i]);
        }
        const A r = 1 / std::sqrt(m.squares / m.count + eps);
        keep(n * z.groups + g, m.mean, r);
        for (Index c = g * z.width; c < (g + 1) * z.width; ++c) mean[std::size_t(n * z.C + c)] = m.mean, scale[std::size_t(n * z.C + c)] = r * A(in.gamma.data()[c]);
      }
    parallel_for(z.N * z.chunks, 0.5 * double(z.rows * z.C), [&](Range range) {
      for (Index i = range.begin; i < range.end; ++i) {
        const Index n = i / z.chunks, at = (n * z.S + z.chunk(i % z.chunks).begin) * z.C;
        cpu::dispatch<typename Rows::Normalise>(z.chunk(i % z.chunks).size(), z.C, static_cast<const T*>(in.x.data() + at), static_cast<const A*>(mean.data() + n * z.C),
                                                static_cast<const A*>(scale.data() + n * z.C), static_cast<const T*>(in.beta.data()), y + at);
      }
    });
  }

  static void backward_planes(const Sizes& z, const Saved& saved, const Out& out, In& d, ChannelSums& sums) {
    const cpu::GroupPieces p{z.S};
    const Index size = z.width * z.S, pieces = z.width * p.each;
    // g, once computed, waits in the second-level cache for ∂L/∂x, if it fits.
    const bool keep = d.x.defined() && !std::is_same_v<Activation, NormAlone> && size <= 65536;
    each_unit(z, 1.0, [&](Index unit) {
      const Index n = unit / z.groups, c = unit % z.groups * z.width;
      const T *x = saved.x.data() + unit * size, *dy = out.y.data() + unit * size, *gamma = saved.gamma.data() + c, *beta = saved.beta.data() + c;
      const A mean = saved.mean.data()[unit], rstd = saved.rstd.data()[unit];
      std::vector<A> parts(std::size_t(2 * pieces));
      Tensor<A> kept = of_shape<A>({keep ? size : 0});
      kept.allocate(kCpu);
      parallel_for(pieces, 0.5 * double(p.kPiece), [&](Range r) {
        cpu::dispatch<typename Planes::Sums>(r, p, x, mean, rstd, gamma, beta, dy, keep ? kept.data() : nullptr, parts.data(), parts.data() + pieces);
      });
      for (Index i = 0; i < pieces; ++i) {
        const auto to = std::size_t(n * z.C + c + p.channel(i));
        sums.g[to] += parts[std::size_t(i)], sums.gx[to] += parts[std::size_t(pieces + i)];
      }
      if (!d.x.defined()) return;
      const auto means = sums.means(z, saved.gamma.data(), n, c);
      parallel_for(pieces, 0.3 * double(p.kPiece), [&](Range r) {
        cpu::dispatch<typename Planes::InputGrads>(r, p, x, mean, rstd, gamma, beta, dy, keep ? static_cast<const A*>(kept.data()) : nullptr, means.first, means.second,
                                                   d.x.data() + unit * size);
      });
    });
  }

  static void backward_rows(const Sizes& z, const Saved& saved, const Out& out, In& d, ChannelSums& sums) {
    const auto CN = std::size_t(z.N * z.C);
    const T *x = saved.x.data(), *dy = out.y.data(), *gamma = saved.gamma.data(), *beta = saved.beta.data();
    std::vector<A> mean(CN), rstd(CN), mean_h(CN), mean_hx(CN), part_g(CN * std::size_t(z.chunks)), part_gx(part_g.size());
    for (std::size_t i = 0; i < CN; ++i) {
      const std::size_t unit = i / std::size_t(z.width);
      mean[i] = saved.mean.data()[unit], rstd[i] = saved.rstd.data()[unit];
    }
    parallel_for(z.N * z.chunks, 0.5 * double(z.rows * z.C), [&](Range range) {
      for (Index i = range.begin; i < range.end; ++i) {
        const Index n = i / z.chunks, at = (n * z.S + z.chunk(i % z.chunks).begin) * z.C;
        cpu::dispatch<typename Rows::Sums>(z.chunk(i % z.chunks).size(), z.C, x + at, static_cast<const A*>(mean.data() + n * z.C), static_cast<const A*>(rstd.data() + n * z.C),
                                           gamma, beta, dy + at, part_g.data() + i * z.C, part_gx.data() + i * z.C);
      }
    });
    for (Index i = 0; i < z.N * z.chunks; ++i)
      for (Index c = 0; c < z.C; ++c) {
        const auto to = std::size_t(i / z.chunks * z.C + c), from = std::size_t(i * z.C + c);
        sums.g[to] += part_g[from], sums.gx[to] += part_gx[from];
      }
    if (!d.x.defined()) return;
    for (Index n = 0; n < z.N; ++n)
      for (Index c = 0; c < z.C; c += z.width) {
        const auto means = sums.means(z, gamma, n, c);
        for (Index i = n * z.C + c; i < n * z.C + c + z.width; ++i) mean_h[std::size_t(i)] = means.first, mean_hx[std::size_t(i)] = means.second;
      }
    parallel_for(z.N * z.chunks, 0.5 * double(z.rows * z.C), [&](Range range) {
      for (Index i = range.begin; i < range.end; ++i) {
        const Index n = i / z.chunks, at = (n * z.S + z.chunk(i % z.chunks).begin) * z.C;
        cpu::dispatch<typename Rows::InputGrads>(z.chunk(i % z.chunks).size(), z.C, x + at, static_cast<const A*>(mean.data() + n * z.C), static_cast<const A*>(rstd.data() + n * z.C),
                                                 gamma, beta, static_cast<const A*>(mean_h.data() + n * z.C), static_cast<const A*>(mean_hx.data() + n * z.C), dy + at,
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
