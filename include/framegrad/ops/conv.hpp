// conv — convolution (as networks say it: no flip) over one, two or three axes.
//
//   y[n,o,p] = f(b[o] + added[n,o,p] + Σ_{c,k} x[n, c, stride·p + dilation·k − padding] · w[o,c,k])       c over the group's channels
//
// Gradient, with h = dy·f′:
//   dx[n,c,i] = Σ_{o,k,p: stride·p + dilation·k − padding = i} h[n,o,p]·w[o,c,k]       dadded = h
//   dw[o,c,k] = Σ_{n,p} h[n,o,p]·x[n, c, stride·p + dilation·k − padding]       db[o] = Σ_{n,p} h[n,o,p]
//
// x and y lie channels-last, so their rows are tokens; w is as released checkpoints have it. Padding is per side:
// Sides{k − 1, 0} in time is a causal convolution. Sums are f32: of bf16 where the processor multiplies
// pairs of it, else of numbers widened while they are copied (cpu/conv.hpp). What is added, and f, cost no pass over memory on the CPU;
// on a GPU they are ops of their own.
#pragma once

#include <framegrad/cpu/conv_weight.hpp>
#include <framegrad/cpu/sum_to.hpp>
#include <framegrad/cuda/conv.hpp>
#include <framegrad/cuda/gemm.hpp>
#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/formula/activations.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/relu.hpp>
#include <framegrad/ops/window.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

struct ConvAttrs {
  std::array<Index, 3> stride, dilation;
  std::array<Sides, 3> padding;
  Index groups = 1;
};

template <class T, class F = NoActivation>
struct Conv {
  static constexpr std::string_view name = "conv";
  static constexpr Layout layout = Layout::channels_last;
  static constexpr bool activates = !std::is_same_v<F, NoActivation>;
  static_assert(!activates || std::is_same_v<F, Relu>, "conv: f is NoActivation or Relu");
  using A = accum_t<T>;

  using Attrs = ConvAttrs;
  struct In { Tensor<T> x, w; std::optional<Tensor<T>> b, added; };  // x [N, C, D, H, W] or fewer axes   w [O, C/groups, k...]   b [O]   added [N·D'·H'·W', O]
  struct Out { Tensor<T> y; };                                       // [N, O, D', H', W']
  struct Saved { Tensor<T> x, w, y; };                               // y: if there is an f, whose slope it says

  static Window window_of(const Attrs& a, const AnyTensor& w) {
    Window window;
    const auto kernel = volume_of(w);
    for (std::size_t i = 0; i < 3; ++i) window[i] = {kernel[i], a.stride[i], a.dilation[i], a.padding[i]};
    return window;
  }

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    check_shape(in.w.rank() == in.x.rank(), name, "weight is ", in.w.sizes(), ", x ", in.x.sizes(), ": the ranks must be equal");
    const Index C = in.x.size(1), O = in.w.size(0);
    check_shape(a.groups >= 1 && C % a.groups == 0 && O % a.groups == 0, name, a.groups, " groups divide neither ", C, " channels nor ", O);
    check_shape(in.w.size(1) * a.groups == C, name, "weight is ", in.w.sizes(), ", x ", in.x.sizes(), " with ", a.groups, " groups needs ", C / a.groups,
                " at its axis 1");
    check_shape(!in.b || in.b->sizes() == Shape{O}, name, "bias is ", in.b ? in.b->sizes() : Shape{}, ", the weight needs ", Shape{O});
    const Shape sizes = windowed(in.x, O, window_of(a, in.w), name);
    if (in.added) check_shape(in.added->sizes() == Shape{O == 0 ? 0 : sizes.count() / O, O}, name, "added is ", in.added->sizes(), ", the result is ", sizes);
    out = {Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, detail::channels_last(sizes)))};
    saved = {in.x, in.w, {}};
  }
  static void keep(const Out& out, Saved& saved) {
    if (activates) saved.y = out.y;
  }

  static Index flops(const Attrs&, const In& in) {  // of the output alone, were it as large as x: strides make it less
    return 2 * in.x.count() / std::max<Index>(in.x.size(1), 1) * in.w.count();
  }

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    const Index C = in.x.size(1), O = in.w.size(0), Cg = C / a.groups, Og = O / a.groups;
    const cpu::ConvGrid grid = forward_grid(a, in.x, in.w, out.y);
    const std::vector<A> bias = in.b ? widened_bias(*in.b) : std::vector<A>{};
    for (Index g = 0; g < a.groups; ++g) {
      cpu::ConvEpilogue<A, T> epilogue;
      if (in.b) epilogue.bias = bias.data() + g * Og;
      if (in.added) epilogue.added = in.added->data() + g * Og;
      if (activates) epilogue.lowest = 0;
      cpu::convolve<T>(grid, in.x.data() + g * Cg, C, {in.w.data() + g * Og * in.w.stride(0), Og, in.w.stride(0), Cg, in.w.stride(1), tap_offsets(grid, in.w)}, epilogue,
                       out.y.data() + g * Og, O);
    }
  }

  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    Tensor<T> h = g.y;
    if constexpr (activates) {  // the sum's gradient is what is added gets, and lies alike
      if (d.added) h = Tensor<T>(d.added->viewed({g.y.sizes(), g.y.strides(), d.added->geometry().offset}));
      else h = like(g.y), h.allocate(kCpu);
      Unary<T, F>::slopes(h.count(), h.data(), saved.y.data(), g.y.data(), F{});
    } else if (d.added) {
      d.added = Tensor<T>(g.y.viewed({d.added->sizes(), d.added->strides(), g.y.geometry().offset}));
    }
    if (d.b) {
      Strides kept = Shape::filled(h.rank(), 0);
      kept[1] = 1;
      cpu::sum_to(static_cast<const T*>(h.data()), h.geometry(), d.b->data(), kept);
    }
    if (d.x.defined()) backward_data(a, saved.w, h, d.x);
    if (d.w.defined()) backward_weight(a, saved.x, h, d.w);
  }

  // On a GPU nothing is added, and f is another op's: detail::conv sees to it.
  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) requires(OnDevice<T> && !activates) {
    const T* bias = in.b ? in.b->data() : nullptr;
    if (!is_product(a, in.w)) return cuda::ConvKernels<T>::forward(sizes_of(a, in.x, in.w, out.y), in.x.data(), in.w.data(), bias, out.y.data());
    const Index C = in.x.size(1), O = in.w.size(0);
    cuda::GemmOptions<T> o;
    o.bias = bias;
    cuda::GemmKernels<T>::multiply({in.x.count() / std::max<Index>(C, 1), O, C}, {in.x.data(), C, 1}, {in.w.data(), in.w.stride(1), in.w.stride(0)}, out.y.data(), O, 0, o);
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires(OnDevice<T> && !activates) {
    const T* dy = g.y.data();
    if (d.b) {
      Strides kept = Shape::filled(g.y.rank(), 0);
      kept[1] = 1;
      cuda::sum_to(dy, g.y.geometry(), d.b->data(), kept);
    }
    if (!is_product(a, saved.w)) {
      if (d.x.defined()) cuda::ConvKernels<T>::data_gradient(sizes_of(a, d.x, saved.w, g.y), dy, saved.w.data(), d.x.data());
      if (d.w.defined()) cuda::ConvKernels<T>::weight_gradient(sizes_of(a, saved.x, d.w, g.y), saved.x.data(), dy, d.w.data());
      return;
    }
    const Index C = saved.x.size(1), O = saved.w.size(0), rows = saved.x.count() / std::max<Index>(C, 1);
    if (d.x.defined()) cuda::GemmKernels<T>::multiply({rows, C, O}, {dy, O, 1}, {saved.w.data(), saved.w.stride(0), saved.w.stride(1)}, d.x.data(), C);
    if (d.w.defined()) cuda::GemmKernels<T>::multiply({O, C, rows}, {dy, 1, O}, {saved.x.data(), C, 1}, d.w.data(), d.w.stride(0));
  }

 private:
  // A kernel of one cell, with nothing around it: a product of matrices.
  static bool is_product(const Attrs& a, const AnyTensor& w) {
    bool product = a.groups == 1 && w.stride(1) == 1;
    for (const WindowAxis& axis : window_of(a, w)) product = product && axis.kernel == 1 && axis.stride == 1 && axis.padding.before == 0 && axis.padding.after == 0;
    return product;
  }
  static cuda::ConvSizes sizes_of(const Attrs& a, const AnyTensor& x, const AnyTensor& w, const AnyTensor& y) {
    cuda::ConvSizes s{{}, x.size(0), x.size(1), w.size(0), a.groups, w.stride(0), w.stride(1)};
    const auto in = volume_of(x), kernel = volume_of(w), out = volume_of(y);
    for (std::size_t i = 0; i < 3; ++i) {
      const int axis = int(i) - 3 + w.rank();
      s.axis[i] = {in[i], out[i], kernel[i], a.stride[i], a.dilation[i], a.padding[i].before, axis >= 2 ? w.stride(axis) : 0};
    }
    return s;
  }

  static std::vector<A> widened_bias(const Tensor<T>& b) {
    std::vector<A> v(static_cast<std::size_t>(b.count()));
    std::transform(b.data(), b.data() + b.count(), v.begin(), [](T t) { return A(t); });
    return v;
  }

  static cpu::ConvGrid forward_grid(const Attrs& a, const AnyTensor& x, const AnyTensor& w, const AnyTensor& y) {
    cpu::ConvGrid grid;
    grid.images = x.size(0);
    const auto from = volume_of(x), kernel = volume_of(w), to = volume_of(y);
    for (std::size_t i = 0; i < 3; ++i) {
      cpu::ConvAxis& axis = grid.axis[i];
      axis.count = axis.targets = to[i], axis.sources = from[i], axis.source_step = a.stride[i];
      axis.offset.clear(), axis.tap.clear();
      for (Index k = 0; k < kernel[i]; ++k) axis.offset.push_back(k * a.dilation[i] - a.padding[i].before), axis.tap.push_back(k);
    }
    return grid;
  }
  // The axis that dx at indices ≡ r (mod stride) is gathered with.
  static cpu::ConvAxis residue_axis(Index r, Index stride, Index dilation, Index before, Index kernel, Index inputs, Index outputs) {
    cpu::ConvAxis axis;
    axis.count = r < inputs ? (inputs - r + stride - 1) / stride : 0;
    axis.sources = outputs, axis.targets = inputs, axis.target_begin = r, axis.target_step = stride;
    axis.offset.clear(), axis.tap.clear();
    for (Index k = 0; k < kernel; ++k) {
      const Index reach = r + before - k * dilation;
      if (reach % stride == 0) axis.offset.push_back(reach / stride), axis.tap.push_back(k);
    }
    return axis;
  }
  // Where in w each tap of the grid stands.
  static std::vector<Index> tap_offsets(const cpu::ConvGrid& grid, const AnyTensor& w) {
    std::array<Index, 3> step{0, 0, 0};
    for (int i = 2; i < w.rank(); ++i) step[std::size_t(i + 3 - w.rank())] = w.stride(i);
    std::vector<Index> offsets;
    for (const Index d : grid.axis[0].tap)
      for (const Index h : grid.axis[1].tap)
        for (const Index v : grid.axis[2].tap) offsets.push_back(d * step[0] + h * step[1] + v * step[2]);
    return offsets;
  }

  static void backward_data(const Attrs& a, const Tensor<T>& w, const Tensor<T>& dy, const Tensor<T>& dx) {
    const Index C = dx.size(1), O = w.size(0), Cg = C / a.groups, Og = O / a.groups;
    const auto inputs = volume_of(dx), kernel = volume_of(w), outputs = volume_of(dy);
    const auto axis = [&](std::size_t i, Index r) {
      return residue_axis(r, a.stride[i], a.dilation[i], a.padding[i].before, kernel[i], inputs[i], outputs[i]);
    };
    for (Index rd = 0; rd < a.stride[0]; ++rd)
      for (Index rh = 0; rh < a.stride[1]; ++rh)
        for (Index rw = 0; rw < a.stride[2]; ++rw) {
          const cpu::ConvGrid grid{dx.size(0), {axis(0, rd), axis(1, rh), axis(2, rw)}};
          if (grid.positions() == 0) continue;
          for (Index g = 0; g < a.groups; ++g)
            cpu::convolve<T>(grid, dy.data() + g * Og, O, {w.data() + g * Og * w.stride(0), Cg, w.stride(1), Og, w.stride(0), tap_offsets(grid, w)}, {}, dx.data() + g * Cg, C);
        }
  }

  static void backward_weight(const Attrs& a, const Tensor<T>& x, const Tensor<T>& dy, const Tensor<T>& dw) {
    const Index C = x.size(1), O = dw.size(0), Cg = C / a.groups, Og = O / a.groups;
    const cpu::ConvGrid grid = forward_grid(a, x, dw, dy);
    for (Index g = 0; g < a.groups; ++g)
      cpu::convolve_weights<T>(grid, x.data() + g * Cg, C, dy.data() + g * Og, O,
                               {dw.data() + g * Og * dw.stride(0), Og, dw.stride(0), Cg, dw.stride(1), tap_offsets(grid, dw)});
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// Each a number for all axes or one an axis; padding is Sides, a number for both sides or {before, after}.
template <int S>
struct ConvOptions {
  PerAxis<Index, S> stride = 1;
  PerAxis<Sides, S> padding = 0;
  PerAxis<Index, S> dilation = 1;
  Index groups = 1;
};

namespace detail {
/// [N, O, …] as rows of O, in the order of a result's memory: a view of what lies channels-last.
template <class T, int R>
Tensor<T, 2> as_rows(const Tensor<T, R>& x) {
  if constexpr (R == 3) return rearrange<"n o w -> (n w) o">(x);
  else if constexpr (R == 4) return rearrange<"n o h w -> (n h w) o">(x);
  else return rearrange<"n o d h w -> (n d h w) o">(x);
}

template <class F, class T, int S>
Tensor<T, S + 2> conv(const Tensor<T, S + 2>& x, const Tensor<T, S + 2>& w, const std::optional<Tensor<T, 1>>& b, const std::optional<Tensor<T, S + 2>>& added,
                      const ConvOptions<S>& o) {
  using Op = ops::Conv<T, F>;
  ops::ConvAttrs a{{1, 1, 1}, {1, 1, 1}, {}, o.groups};
  for (std::size_t i = 0; i < std::size_t(S); ++i) {
    const std::size_t to = i + 3 - std::size_t(S);
    a.stride[to] = o.stride[i], a.dilation[to] = o.dilation[i], a.padding[to] = o.padding[i];
  }
  if (added) {
    const Shape sizes = windowed(x, w.size(0), Op::window_of(a, w), Op::name);
    check_shape(AnyTensor(*added).sizes() == sizes, Op::name, "what is added is ", AnyTensor(*added).sizes(), ", the result ", sizes);
  }
  if constexpr (kWithCuda) {
    if (x.device().kind == Device::Kind::cuda && (added || Op::activates)) {
      auto y = apply<ops::Conv<T>>(a, {x, w, b, std::nullopt});
      if (added) y = y + *added;
      if constexpr (Op::activates) return relu(y);
      else return y;
    }
  }
  return apply<Op>(a, {x, w, b, added ? std::optional<Tensor<T>>(as_rows(*added)) : std::nullopt});
}
}  // namespace detail

/// x [N, C, L], w [O, C/groups, k], b [O] → f of the convolution, [N, O, L']. Throws ShapeError if w or b does not fit x.
template <class F = NoActivation, class T>
Tensor<T, 3> conv1d(const Tensor<T, 3>& x, const Tensor<T, 3>& w, const std::type_identity_t<std::optional<Tensor<T, 1>>>& b = {},
                    const ConvOptions<1>& options = {}) {
  return detail::conv<F, T, 1>(x, w, b, std::nullopt, options);
}
/// x [N, C, H, W], w [O, C/groups, kH, kW], b [O] → f of the convolution, [N, O, H', W']. Throws ShapeError if w or b does not fit x.
template <class F = NoActivation, class T>
Tensor<T, 4> conv2d(const Tensor<T, 4>& x, const Tensor<T, 4>& w, const std::type_identity_t<std::optional<Tensor<T, 1>>>& b = {},
                    const ConvOptions<2>& options = {}) {
  return detail::conv<F, T, 2>(x, w, b, std::nullopt, options);
}
/// x [N, C, D, H, W], w [O, C/groups, kD, kH, kW], b [O] → f of the convolution, [N, O, D', H', W']. Throws ShapeError if w or b does not fit x.
template <class F = NoActivation, class T>
Tensor<T, 5> conv3d(const Tensor<T, 5>& x, const Tensor<T, 5>& w, const std::type_identity_t<std::optional<Tensor<T, 1>>>& b = {},
                    const ConvOptions<3>& options = {}) {
  return detail::conv<F, T, 3>(x, w, b, std::nullopt, options);
}
/// The same with `added` [N, O, H', W'] → f(conv2d + added). Throws ShapeError if w, b or added does not fit x.
template <class F = NoActivation, class T>
Tensor<T, 4> conv2d_add(const Tensor<T, 4>& added, const Tensor<T, 4>& x, const Tensor<T, 4>& w, const std::type_identity_t<std::optional<Tensor<T, 1>>>& b = {},
                        const ConvOptions<2>& options = {}) {
  return detail::conv<F, T, 2>(x, w, b, added, options);
}

}  // namespace fg::inline FRAMEGRAD_ABI
