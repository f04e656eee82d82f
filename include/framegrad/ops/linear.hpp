// linear — y = f(x·Wᵀ + b), the activation f computed while the product's block is in cache.
//
// Gradient, with z = x·Wᵀ + b and h = g·f′(z):
//   ∂L/∂x = h·W     ∂L/∂W = hᵀ·x     ∂L/∂b = Σ h over the rows
#pragma once

#include <framegrad/cpu/gemm.hpp>
#include <framegrad/cpu/layer_norm.hpp>
#include <framegrad/cuda/gemm.hpp>
#include <framegrad/cuda/pointwise.hpp>
#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/formula/activations.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace ops {

template <class F> inline constexpr cpu::Activation activation_of = cpu::Activation::none;
template <> inline constexpr cpu::Activation activation_of<Gelu> = cpu::Activation::gelu_erf;
template <> inline constexpr cpu::Activation activation_of<GeluTanh> = cpu::Activation::gelu_tanh;
template <> inline constexpr cpu::Activation activation_of<Relu> = cpu::Activation::relu;
template <> inline constexpr cpu::Activation activation_of<Silu> = cpu::Activation::silu;

constexpr cuda::Activation on_gpu(cpu::Activation f) {
  switch (f) {
    case cpu::Activation::gelu_tanh: return cuda::Activation::gelu_tanh;
    case cpu::Activation::gelu_erf: return cuda::Activation::gelu_erf;
    case cpu::Activation::silu: return cuda::Activation::silu;
    case cpu::Activation::relu: return cuda::Activation::relu;
    default: return cuda::Activation::none;
  }
}

template <class T, class F>
struct Linear {
  static constexpr std::string_view name = "linear";
  static constexpr bool activates = activation_of<F> != cpu::Activation::none;
  using A = accum_t<T>;

  struct Attrs {};
  struct In { Tensor<T> x, weight; std::optional<Tensor<T>> bias; };  // x [..., K]   weight [N, K]   bias [N]
  struct Out { Tensor<T> y; };                                        // [..., N]
  struct Saved { Tensor<T> x, weight, z; };                           // z: before the activation, if there is one

  static double flops(const Attrs&, const In& in) { return 2.0 * double(in.x.count()) * double(in.weight.size(0)); }

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.weight.rank() == 2 && in.x.rank() >= 1 && in.weight.size(1) == in.x.size(-1), name, "weight is ", in.weight.sizes(), ", x is ",
                in.x.sizes(), ": weight [N, K] and x [..., K] are needed");
    const Index N = in.weight.size(0);
    if (in.bias) check_shape(in.bias->sizes() == Shape{N}, name, "bias is ", in.bias->sizes(), ", weight needs ", Shape{N});
    out = {like_rows(in.x, N)};
    saved = {in.x, in.weight, {}};
    if (activates) saved.z = like_rows(in.x, N);
  }

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved* saved) {
    const auto [rows, K] = collapse_to_rows(in.x);
    const Index N = in.weight.size(0);
    cpu::GemmOptions<T> o;
    o.bias = in.bias ? in.bias->data() : nullptr;
    o.activation = activation_of<F>;
    o.pre_activation = activates && saved ? saved->z.data() : nullptr;
    cpu::gemm<T, T>(rows, N, K, in.x.data(), K, 1, in.weight.data(), 1, K, out.y.data(), N, o);
  }

  struct SlopeRows {  // h = g·f′(z), and its sums over the rows
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index N, const T* g, const T* z, T* h, A* sums) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index row = rows.begin; row < rows.end; ++row) {
        const T* gr = g + row * N;
        if constexpr (activates) {
          const T* zr = z + row * N;
          T* hr = h + row * N;
          cpu::each<V>(N, [&](const L& l) FRAMEGRAD_LAMBDA {
            const V v = l.load(gr) * F::slope(l.load(zr));
            l.store(hr, v);
            l.store(sums, l.load(sums) + v);
          });
        } else {
          cpu::each<V>(N, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(sums, l.load(sums) + l.load(gr)); });
        }
      }
    }
  };

  struct Activate {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, const T* z, T* y) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, cpu::activate<activation_of<F>>(l.load(z))); });
    }
  };

  static bool can_recompute(const Saved& s) { return s.z.allocated(); }
  static void recompute(Cpu, const Attrs&, const Saved& saved, Out& out) requires activates {
    parallel_for(out.y.count(), 1.0, [&](Range r) { cpu::dispatch<Activate>(r.size(), static_cast<const T*>(saved.z.data() + r.begin), out.y.data() + r.begin); }, 64);
  }
  static void recompute(Cuda, const Attrs&, const Saved& saved, Out& out) requires(activates && OnDevice<T>) {
    cuda::UnaryKernels<T, F>::value(out.y.count(), out.y.data(), saved.z.data(), {});
  }

  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Index K = saved.x.size(-1), rows = K ? saved.x.count() / K : 0, N = saved.weight.size(0);
    Tensor<T> h = g.y;
    if (activates) h = like(g.y), h.allocate(kCpu);
    if (activates || d.bias) {
      cpu::rows_with_sums<A>(1, rows, N, activates ? 1.0 : 0.3,
          [&](Index, Range chunk, A* sums, A*) {
            cpu::dispatch<SlopeRows>(chunk, N, static_cast<const T*>(g.y.data()), activates ? static_cast<const T*>(saved.z.data()) : nullptr,
                                     activates ? h.data() : nullptr, sums);
          },
          [&](Index, int which, const A* sums) {
            if (which == 0 && d.bias) for (Index n = 0; n < N; ++n) d.bias->data()[n] = T(sums[n]);
          });
    }
    if (d.x.defined()) cpu::gemm<T, T>(rows, K, N, h.data(), N, 1, saved.weight.data(), K, 1, d.x.data(), K);
    if (d.weight.defined()) cpu::gemm<T, T>(N, K, rows, h.data(), 1, N, saved.x.data(), K, 1, d.weight.data(), K);
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    const auto [rows, K] = collapse_to_rows(in.x);
    const Index N = in.weight.size(0);
    cuda::GemmOptions<T> o;
    o.bias = in.bias ? in.bias->data() : nullptr;
    o.activation = on_gpu(activation_of<F>);
    o.pre_activation = activates && saved ? saved->z.data() : nullptr;
    cuda::GemmKernels<T>::multiply({rows, N, K}, {in.x.data(), K, 1}, {in.weight.data(), 1, K}, out.y.data(), N, 0, o);
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const Index K = saved.x.size(-1), rows = K ? saved.x.count() / K : 0, N = saved.weight.size(0);
    Tensor<T> h = g.y;
    if (activates) {
      h = like(g.y), h.allocate(g.y.device());
      cuda::EpilogueKernels<T>::slope(rows, N, g.y.data(), saved.z.data(), on_gpu(activation_of<F>), h.data(), d.bias ? d.bias->data() : nullptr);
    } else if (d.bias) {
      cuda::sum_to(static_cast<const T*>(g.y.data()), {{rows, N}, {N, 1}, 0}, d.bias->data(), {0, 1});
    }
    if (d.x.defined()) cuda::GemmKernels<T>::multiply({rows, K, N}, {h.data(), N, 1}, {saved.weight.data(), K, 1}, d.x.data(), K);
    if (d.weight.defined()) cuda::GemmKernels<T>::multiply({N, K, rows}, {h.data(), 1, N}, {saved.x.data(), K, 1}, d.weight.data(), K);
  }
};

}  // namespace ops

/// x [..., K], weight [N, K] → f(x·weightᵀ), [..., N]. Throws ShapeError.
template <class F = NoActivation, class T, int R>
Tensor<T, R> linear(const Tensor<T, R>& x, const Tensor<T, 2>& weight) {
  return apply<ops::Linear<T, F>>({}, {x, weight, std::nullopt});
}
/// x [..., K], weight [N, K], bias [N] → f(x·weightᵀ + bias), [..., N]. Throws ShapeError.
template <class F = NoActivation, class T, int R>
Tensor<T, R> linear(const Tensor<T, R>& x, const Tensor<T, 2>& weight, const Tensor<T, 1>& bias) {
  return apply<ops::Linear<T, F>>({}, {x, weight, bias});
}

}  // namespace fg::inline FRAMEGRAD_ABI
