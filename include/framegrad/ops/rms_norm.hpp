// rms_norm — divide by the root of the mean square over the last axis, then scale.
//
//   r = 1 / √(mean(x²) + eps)    x̂ = x·r    y = x̂·γ          Zhang and Sennrich 2019 (arXiv:1910.07467), eq. 4
//
// Gradient, with g = ∂L/∂y and h = g·γ:
//   ∂L/∂γ = Σ g·x̂                            over every axis but the last
//   ∂L/∂x = r·(h − x̂·mean(h·x̂))
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/cuda/rms_norm.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct RmsNorm {
  static constexpr std::string_view name = "rms_norm";
  using A = accum_t<T>;

  struct Attrs { float eps = 1e-6f; };
  struct In    { Tensor<T> x, gamma; };                   // x [..., C]   gamma [C]
  struct Out   { Tensor<T> y; };                          // [..., C]
  struct Saved { Tensor<T> x, gamma; Tensor<A> rstd; };   // rstd: one a row

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.x.rank() >= 1, name, "x is ", in.x.sizes(), ", at least one axis is needed");
    const Shape needed{in.x.sizes().back()};
    check_shape(in.gamma.sizes() == needed, name, "gamma is ", in.gamma.sizes(), ", x needs ", needed);
    out = {like(in.x)};
    saved = {in.x, in.gamma, of_shape<A>({collapse_to_rows(in.x).rows})};
  }

  struct Forward {  // two passes over a row that stays in L1
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, A eps, const T* x, const T* gamma, T* y, A* rstd) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index row = rows.begin; row < rows.end; ++row) {
        const T* xr = x + row * C;
        T* yr = y + row * C;
        const A squares = cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V v = l.load(xr);
          return v * v;
        });
        const A r = 1 / std::sqrt(squares / A(C) + eps);
        const V scale(r);
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(yr, l.load(xr) * scale * l.load(gamma)); });
        if (rstd) rstd[row] = r;
      }
    }
  };
  struct Backward {  // dgamma [C]: added to; dx or dgamma may be null
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* x, const T* gamma, const A* rstd, const T* g, T* dx, A* dgamma) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index row = rows.begin; row < rows.end; ++row) {
        const T* xr = x + row * C;
        const T* gr = g + row * C;
        const V r(rstd[row]);
        if (dgamma) cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dgamma, l.load(dgamma) + l.load(gr) * l.load(xr) * r); });
        if (!dx) continue;
        const V mean(cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(gr) * l.load(gamma) * l.load(xr); }) * rstd[row] / A(C));
        T* dr = dx + row * C;
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dr, r * (l.load(gr) * l.load(gamma) - l.load(xr) * r * mean)); });
      }
    }
  };

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    const auto [rows, C] = collapse_to_rows(in.x);
    parallel_for(rows, 0.3 * double(C), [&, C = C](Range chunk) {
      cpu::dispatch<Forward>(chunk, C, A(a.eps), in.x.data(), in.gamma.data(), out.y.data(), saved ? saved->rstd.data() : nullptr);
    });
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const auto [rows, C] = collapse_to_rows(saved.x);
    constexpr Index kRows = 64;  // that share one partial sum of dγ
    const Index chunks = (rows + kRows - 1) / kRows;
    const bool wants_gamma = d.gamma.defined();
    std::vector<A> partial(wants_gamma ? std::size_t(chunks * C) : 0);
    parallel_for(chunks, 0.5 * double(kRows * C), [&, rows = rows, C = C](Range range) {
      for (Index chunk = range.begin; chunk < range.end; ++chunk)
        cpu::dispatch<Backward>(Range{chunk * kRows, std::min(rows, (chunk + 1) * kRows)}, C, static_cast<const T*>(saved.x.data()),
                                static_cast<const T*>(saved.gamma.data()), static_cast<const A*>(saved.rstd.data()), static_cast<const T*>(g.y.data()),
                                d.x.defined() ? d.x.data() : nullptr, wants_gamma ? partial.data() + chunk * C : nullptr);
    });
    if (!wants_gamma) return;
    for (Index c = 0; c < C; ++c) {
      A s = 0;
      for (Index chunk = 0; chunk < chunks; ++chunk) s += partial[std::size_t(chunk * C + c)];
      d.gamma.data()[c] = T(s);
    }
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    const auto [rows, C] = collapse_to_rows(in.x);
    cuda::RmsNormKernels<T>::forward(rows, C, a.eps, in.x.data(), in.gamma.data(), out.y.data(), saved ? saved->rstd.data() : nullptr);
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const auto [rows, C] = collapse_to_rows(saved.x);
    cuda::RmsNormKernels<T>::backward(rows, C, saved.x.data(), saved.gamma.data(), g.y.data(), saved.rstd.data(), d.x.defined() ? d.x.data() : nullptr,
                                      d.gamma.defined() ? d.gamma.data() : nullptr);
  }

  template <class Where>
  static void recompute(Where on, const Attrs& a, const Saved& s, Out& out) { forward(on, a, {s.x, s.gamma}, out, nullptr); }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [..., C], gamma [C] → [..., C]. Throws ShapeError if gamma is not [C].
template <class T, int R>
Tensor<T, R> rms_norm(const Tensor<T, R>& x, const Tensor<T, 1>& gamma, float eps = 1e-6f) {
  return Tensor<T, R>(apply<ops::RmsNorm<T>>({.eps = eps}, {x, gamma}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
