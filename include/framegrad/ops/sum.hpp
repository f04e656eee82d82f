// sum over any axes:  y = scale·Σ x,  ∂L/∂x = scale·∂L/∂y.  mean is the same with scale 1/n (mean.hpp).
#pragma once

#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/ops/reduction.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Sum {
  static constexpr std::string_view name = "sum";
  static constexpr Layout layout = Layout::dense;
  using A = accum_t<T>;

  struct Attrs {
    ReducedAxes axes;
    A scale = A(1);
  };
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved {};

  static void infer(const Attrs& a, const In& in, Out& out, Saved&) { out = {detail::reduced_like<T>(in.x, a.axes)}; }

  struct Term {
    template <class V> FRAMEGRAD_INLINE static V of(const V& x, const V&) { return x; }
  };
  struct Grad {
    template <class V> FRAMEGRAD_INLINE static V of(const V& g, const V&, const V&) { return g; }
  };

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    if (in.x.count() == 0) {  // 0; the mean of nothing is NaN
      std::fill_n(out.y.data(), out.y.count(), T(A(0) * a.scale));
      return;
    }
    cpu::reduce<Term>(cpu::ReductionPlan(in.x.geometry(), a.axes), in.x.data(), static_cast<const A*>(nullptr), a.scale, out.y.data());
  }
  static void backward(Cpu, const Attrs& a, const Saved&, const Out& g, In& d) {
    if (d.x.count() == 0) return;
    cpu::spread<Grad>(cpu::ReductionPlan(d.x.geometry(), a.axes), static_cast<const T*>(g.y.data()), static_cast<const T*>(nullptr),
                      static_cast<const A*>(nullptr), a.scale, d.x.data());
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) requires OnDevice<T> {
    if (in.x.count() == 0) return copy_into(out.y, to(scalar(A(0) * a.scale), out.y.device()).viewed({out.y.sizes(), Shape::filled(out.y.rank(), 0), 0}));
    cuda::ReduceKernels<T>::sum(cuda::reduction_of(in.x.geometry(), detail::result_strides(in.x, out.y, a.axes)), in.x.data(), out.y.data(), a.scale);
  }
  static void backward(Cuda, const Attrs& a, const Saved&, const Out& g, In& d) requires OnDevice<T> {
    const Strides s = detail::result_strides(d.x, g.y, a.axes);
    cuda::ReduceKernels<T>::spread(cuda::walk_of<3>(d.x.geometry(), {s, s, s}), d.x.data(), g.y.data(), nullptr, nullptr, a.scale);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → the sum over the named axes, or over all: sum(x), sum<0, -1>(x), sum<keepdim, 1>(x).
template <auto... Axes, class T, int R>
auto sum(const Tensor<T, R>& x) {
  using L = detail::AxisList<R, Axes...>;
  return Tensor<T, L::rank>(apply<ops::Sum<T>>({.axes = L::axes}, {x}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
