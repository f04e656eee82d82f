// layer_norm — normalise over the last axis, then scale and shift (both may be left out).
//
//   μ = mean(x)      r = 1 / √(var(x) + eps)      over the last axis; biased variance
//   x̂ = (x − μ)·r    y = x̂·γ + β                  Ba et al. 2016 (arXiv:1607.06450), eq. 3–4
//
// Gradient, with g = ∂L/∂y and h = g·γ:
//   ∂L/∂β = Σ g      ∂L/∂γ = Σ g·x̂                over every axis but the last
//   ∂L/∂x = r·(h − mean(h) − x̂·mean(h·x̂))
#pragma once

#include <framegrad/cpu/layer_norm.hpp>
#include <framegrad/cuda/layer_norm.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct LayerNorm {
  static constexpr std::string_view name = "layer_norm";
  using A = accum_t<T>;

  struct Attrs { double eps = 1e-5; };
  struct In { Tensor<T> x; std::optional<Tensor<T>> gamma, beta; };  // x [..., C]   gamma, beta [C]
  struct Out { Tensor<T> y; };                                       // [..., C]
  struct Saved { Tensor<T> x; std::optional<Tensor<T>> gamma, beta; Tensor<A> mean, rstd; };  // mean, rstd: one a row

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.x.rank() >= 1, name, "x is ", in.x.sizes(), ", a last axis is needed");
    const auto [rows, C] = collapse_to_rows(in.x);
    if (in.gamma) check_shape(in.gamma->shape() == Shape{C}, name, "gamma is ", in.gamma->shape(), ", x needs ", Shape{C});
    if (in.beta) check_shape(in.beta->shape() == Shape{C}, name, "beta is ", in.beta->shape(), ", x needs ", Shape{C});
    check_shape(in.gamma || !in.beta, name, "beta without gamma");
    out = {like(in.x)};
    saved = {in.x, in.gamma, in.beta, of_shape<A>({rows}), of_shape<A>({rows})};
  }

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    const Rows r = collapse_to_rows(in.x);
    const std::vector<A> gain = widened(in.gamma), bias = widened(in.beta);
    parallel_for(r.rows, 0.5 * double(r.C), [&](Range chunk) {
      cpu::dispatch<cpu::LayerNormForward>(chunk, r.C, A(a.eps), static_cast<const T*>(in.x.data()), pointer(gain), pointer(bias), out.y.data(),
                                           saved ? saved->mean.data() : nullptr, saved ? saved->rstd.data() : nullptr);
    });
  }

  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Rows r = collapse_to_rows(saved.x);
    const std::vector<A> gain = widened(saved.gamma);
    T* dx = d.x.defined() ? d.x.data() : nullptr;
    cpu::rows_with_sums<A>(1, r.rows, r.C, 1.0,
        [&](Index, Range rows, A* dgain, A* dbias) {
          cpu::dispatch<cpu::LayerNormBackward>(rows, r.C, static_cast<const T*>(saved.x.data()), pointer(gain), static_cast<const T*>(g.y.data()),
                                                static_cast<const A*>(saved.mean.data()), static_cast<const A*>(saved.rstd.data()), dx,
                                                d.gamma ? dgain : nullptr, d.beta ? dbias : nullptr);
        },
        [&](Index, int which, const A* sums) {
          auto& to = which == 0 ? d.gamma : d.beta;
          if (to) for (Index c = 0; c < r.C; ++c) to->data()[c] = T(sums[c]);
        });
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    const Rows r = collapse_to_rows(in.x);
    cuda::LayerNormKernels<T>::forward({1, r.rows, r.C}, float(a.eps), in.x.data(), in.gamma ? in.gamma->data() : nullptr, in.beta ? in.beta->data() : nullptr, out.y.data(),
                                       saved ? saved->mean.data() : nullptr, saved ? saved->rstd.data() : nullptr);
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const Rows r = collapse_to_rows(saved.x);
    cuda::LayerNormKernels<T>::backward({1, r.rows, r.C}, saved.x.data(), saved.gamma ? saved.gamma->data() : nullptr, g.y.data(), saved.mean.data(), saved.rstd.data(),
                                        d.x.defined() ? d.x.data() : nullptr, d.gamma ? d.gamma->data() : nullptr, d.beta ? d.beta->data() : nullptr);
  }

  template <class Where>
  static void recompute(Where on, const Attrs& a, const Saved& s, Out& out) { forward(on, a, {s.x, s.gamma, s.beta}, out, nullptr); }

 private:
  static std::vector<A> widened(const std::optional<Tensor<T>>& v) {
    return v ? std::vector<A>(v->data(), v->data() + v->count()) : std::vector<A>();
  }
  static const A* pointer(const std::vector<A>& v) { return v.empty() ? nullptr : v.data(); }
};

}  // namespace ops

/// x [..., C] → [..., C], without scale and shift.
template <class T, int R>
Tensor<T, R> layer_norm(const Tensor<T, R>& x, double eps = 1e-5) {
  return apply<ops::LayerNorm<T>>({eps}, {x, std::nullopt, std::nullopt});
}
/// x [..., C], gamma [C], beta [C] → [..., C]. Throws ShapeError if gamma or beta is not [C].
template <class T, int R>
Tensor<T, R> layer_norm(const Tensor<T, R>& x, const Tensor<T, 1>& gamma, const Tensor<T, 1>& beta, double eps = 1e-5) {
  return apply<ops::LayerNorm<T>>({eps}, {x, gamma, beta});
}

}  // namespace fg::inline FRAMEGRAD_ABI
