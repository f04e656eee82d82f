// var — variance over any axes, summed about the mean.
//
//   μ = mean(x)    y = Σ (x − μ)² / (n − correction)      ∂L/∂x = ∂L/∂y · 2(x − μ) / (n − correction)
//
// correction 1 is the unbiased estimate, as in PyTorch; 0 the variance of the numbers themselves.
#pragma once

#include <framegrad/ops/sum.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Var {
  static constexpr std::string_view name = "var";
  static constexpr Layout layout = Layout::dense;
  using A = accum_t<T>;

  struct Attrs {
    ReducedAxes axes;
    int correction = 1;
  };
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved { Tensor<T> x; Tensor<A> mean; };  // mean: one a result

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    out = {detail::reduced_like<T>(in.x, a.axes)};
    saved = {in.x, of_shape<A>({out.y.count()})};
  }

  struct Square {
    template <class V> FRAMEGRAD_INLINE static V of(const V& x, const V& mean) { return (x - mean) * (x - mean); }
  };
  struct Grad {
    template <class V> FRAMEGRAD_INLINE static V of(const V& g, const V& x, const V& mean) { return g * (x - mean); }
  };
  static A divisor(const Attrs& a, const AnyTensor& x) {  // 0/0 is NaN, as it should be
    return A(std::max<Index>(0, detail::reduced_count(x, a.axes) - a.correction));
  }

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    if (in.x.count() == 0) {
      std::fill_n(out.y.data(), out.y.count(), T(std::numeric_limits<A>::quiet_NaN()));
      return;
    }
    const cpu::ReductionPlan plan(in.x.geometry(), a.axes);
    std::vector<A> own(saved ? 0 : std::size_t(out.y.count()));
    A* mean = saved ? saved->mean.data() : own.data();
    cpu::reduce<typename Sum<T>::Term>(plan, in.x.data(), static_cast<const A*>(nullptr), 1 / A(detail::reduced_count(in.x, a.axes)), mean);
    cpu::reduce<Square>(plan, in.x.data(), static_cast<const A*>(mean), 1 / divisor(a, in.x), out.y.data());
  }
  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    if (d.x.count() == 0) return;
    cpu::spread<Grad>(cpu::ReductionPlan(d.x.geometry(), a.axes), static_cast<const T*>(g.y.data()), static_cast<const T*>(saved.x.data()),
                      static_cast<const A*>(saved.mean.data()), 2 / divisor(a, saved.x), d.x.data());
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    if (in.x.count() == 0) return copy_into(out.y, to(scalar(std::numeric_limits<A>::quiet_NaN()), out.y.device()).viewed({out.y.sizes(), Shape::filled(out.y.rank(), 0), 0}));
    Tensor<A> mean = saved ? saved->mean : of_shape<A>({out.y.count()});
    if (!saved) mean.allocate(out.y.device());
    cuda::ReduceKernels<T>::var(cuda::reduction_of(in.x.geometry(), detail::result_strides(in.x, out.y, a.axes)), in.x.data(), mean.data(), out.y.data(), 1 / divisor(a, in.x));
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    // The mean lies in the order of memory of the result, which is x's.
    Geometry results{g.y.sizes(), dense_strides(g.y.sizes(), g.y.geometry()), 0};
    const Strides s = detail::result_strides(d.x, g.y, a.axes), x = saved.x.strides();
    const Strides m = detail::result_strides(d.x, g.y.viewed(results), a.axes);
    cuda::ReduceKernels<T>::spread(cuda::walk_of<3>(d.x.geometry(), {s, x, m}), d.x.data(), g.y.data(), saved.x.data(), saved.mean.data(), 2 / divisor(a, saved.x));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → the variance over the named axes, or over all: var(x), var<0, -1>(x, 0), var<keepdim, 1>(x).
template <auto... Axes, class T, int R> requires is_floating<T>
auto var(const Tensor<T, R>& x, int correction = 1) {
  using L = detail::AxisList<R, Axes...>;
  return Tensor<T, L::rank>(apply<ops::Var<T>>({.axes = L::axes, .correction = correction}, {x}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
