// layer_norm_modulate — normalise over the last axis, then scale and shift by what a condition says (adaLN).
//
//   y = x̂·(1 + scale) + shift      x̂ as in layer_norm, without affine      Peebles and Xie (arXiv:2212.09748) §3.2
//
// Gradient, with g = ∂L/∂y and h = g·(1 + scale):
//   ∂L/∂shift = Σ g    ∂L/∂scale = Σ g·x̂    over every axis between the batch and the last
//   ∂L/∂x = r·(h − mean(h) − x̂·mean(h·x̂))
#pragma once

#include <framegrad/cpu/layer_norm.hpp>
#include <framegrad/cuda/layer_norm.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct LayerNormModulate {
  static constexpr std::string_view name = "layer_norm_modulate";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs { double eps = 1e-6; };
  struct In { Tensor<T> x, shift, scale; };   // x [B, ..., C]   shift, scale [B, 1, ..., 1, C]
  struct Out { Tensor<T> y; };                // [B, ..., C]
  struct Saved { Tensor<T> x, shift, scale; Tensor<A> mean, rstd; };  // mean, rstd: one a row

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_per_sample(in.x, in.shift, name, "shift");
    check_per_sample(in.x, in.scale, name, "scale");
    const Index rows = collapse_to_rows(in.x).rows;
    out = {like(in.x)};
    saved = {in.x, in.shift, in.scale, of_shape<A>({rows}), of_shape<A>({rows})};
  }

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    const Rows r = collapse_to_rows(in.x);
    const Index B = in.x.size(0), rows = B ? r.rows / B : 0;
    const std::vector<A> gain = one_plus(in.scale), bias(in.shift.data(), in.shift.data() + in.shift.count());
    parallel_for(r.rows, 0.5 * double(r.C), [&](Range chunk) {
      for (Index row = chunk.begin; row < chunk.end;) {  // sample by sample
        const Index b = row / rows, end = std::min(chunk.end, (b + 1) * rows);
        cpu::dispatch<cpu::LayerNormForward>(Range{row, end}, r.C, A(a.eps), static_cast<const T*>(in.x.data()), gain.data() + b * r.C, bias.data() + b * r.C,
                                             out.y.data(), saved ? saved->mean.data() : nullptr, saved ? saved->rstd.data() : nullptr);
        row = end;
      }
    });
  }

  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Rows r = collapse_to_rows(saved.x);
    const Index B = saved.x.size(0);
    const std::vector<A> gain = one_plus(saved.scale);
    T* dx = d.x.defined() ? d.x.data() : nullptr;
    cpu::rows_with_sums<A>(B, B ? r.rows / B : 0, r.C, 1.0,
        [&](Index b, Range rows, A* dscale, A* dshift) {
          cpu::dispatch<cpu::LayerNormBackward>(rows, r.C, static_cast<const T*>(saved.x.data()), static_cast<const A*>(gain.data() + b * r.C),
                                                static_cast<const T*>(g.y.data()), static_cast<const A*>(saved.mean.data()),
                                                static_cast<const A*>(saved.rstd.data()), dx, d.scale.defined() ? dscale : nullptr,
                                                d.shift.defined() ? dshift : nullptr);
        },
        [&](Index b, int which, const A* sums) {
          const Tensor<T>& to = which == 0 ? d.scale : d.shift;
          if (to.defined()) for (Index c = 0; c < r.C; ++c) to.data()[b * r.C + c] = T(sums[c]);
        });
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    cuda::LayerNormKernels<T>::forward(samples(in.x), float(a.eps), in.x.data(), in.scale.data(), in.shift.data(), out.y.data(), saved ? saved->mean.data() : nullptr,
                                       saved ? saved->rstd.data() : nullptr);
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const auto wanted = [](const Tensor<T>& t) { return t.defined() ? t.data() : nullptr; };
    cuda::LayerNormKernels<T>::backward(samples(saved.x), saved.x.data(), saved.scale.data(), g.y.data(), saved.mean.data(), saved.rstd.data(), wanted(d.x), wanted(d.scale),
                                        wanted(d.shift));
  }

  template <class Where>
  static void recompute(Where on, const Attrs& a, const Saved& s, Out& out) { forward(on, a, {s.x, s.shift, s.scale}, out, nullptr); }

 private:
  static cuda::NormShape samples(const Tensor<T>& x) {
    const Rows r = collapse_to_rows(x);
    const Index B = x.size(0);
    return {B, B ? r.rows / B : 0, r.C, 1};
  }
  static std::vector<A> one_plus(const Tensor<T>& scale) {
    std::vector<A> gain(std::size_t(scale.count()));
    for (Index i = 0; i < scale.count(); ++i) gain[std::size_t(i)] = A(1) + A(scale.data()[i]);
    return gain;
  }
};

}  // namespace ops

/// x [B, ..., C], shift and scale [B, 1, ..., 1, C] → x̂·(1 + scale) + shift, [B, ..., C].
template <class T, int R>
Tensor<T, R> layer_norm_modulate(const Tensor<T, R>& x, const Tensor<T, R>& shift, const Tensor<T, R>& scale, double eps = 1e-6) {
  return apply<ops::LayerNormModulate<T>>({eps}, {x, shift, scale});
}

}  // namespace fg::inline FRAMEGRAD_ABI
