// What ops that resample [N, C, …] linearly, axis by axis, share: a rule says the size that comes out and the taps of an axis.
//
//   Shape sizes(x)                              of the output; throws ShapeError
//   AxisTaps taps(axis, sources, targets)       axis 0 depth, 1 height, 2 width
//   on_gpu(axis, sources, targets)              the same as one of the axes of cuda/resample.hpp
//
// The gradient is the transposed resampling. x and y lie channels-last.
#pragma once

#include <framegrad/cpu/resample.hpp>
#include <framegrad/cuda/resample.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/window.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T, class Rule>
struct Resample {
  static constexpr std::string_view name = Rule::name;
  static constexpr Layout layout = Layout::channels_last;

  using Attrs = Rule;
  struct In { Tensor<T> x; };   // [N, C, (D), (H), W]
  struct Out { Tensor<T> y; };
  struct Saved {};

  static void infer(const Attrs& rule, const In& in, Out& out, Saved&) {
    const Shape sizes = rule.sizes(in.x);
    out = {Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, detail::channels_last(sizes)))};
  }
  static void forward(Cpu, const Attrs& rule, const In& in, Out& out, Saved*) {
    cpu::resample(static_cast<const T*>(in.x.data()), out.y.data(), in.x.size(0), in.x.size(1), taps(rule, in.x, out.y));
  }
  static void backward(Cpu, const Attrs& rule, const Saved&, const Out& g, In& d) {
    auto axes = taps(rule, d.x, g.y);
    for (auto& axis : axes) axis = axis.transposed();
    cpu::resample(static_cast<const T*>(g.y.data()), d.x.data(), d.x.size(0), d.x.size(1), axes);
  }

  static void forward(Cuda, const Attrs& rule, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const auto a = on_gpu(rule, in.x, out.y);
    cuda::ResampleKernels<T, CudaAxis>::value(in.x.size(0), in.x.size(1), a[0], a[1], a[2], in.x.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs& rule, const Saved&, const Out& g, In& d) requires OnDevice<T> {
    const auto a = on_gpu(rule, d.x, g.y);
    cuda::ResampleKernels<T, CudaAxis>::slope(d.x.size(0), d.x.size(1), a[0], a[1], a[2], g.y.data(), d.x.data());
  }

 private:
  using CudaAxis = decltype(std::declval<const Rule&>().on_gpu(0, 1, 1));
  static std::array<CudaAxis, 3> on_gpu(const Rule& rule, const AnyTensor& x, const AnyTensor& y) {
    const auto from = volume_of(x), to = volume_of(y);
    return {rule.on_gpu(0, from[0], to[0]), rule.on_gpu(1, from[1], to[1]), rule.on_gpu(2, from[2], to[2])};
  }
  static std::array<cpu::AxisTaps, 3> taps(const Attrs& rule, const AnyTensor& x, const AnyTensor& y) {
    const auto from = volume_of(x), to = volume_of(y);
    std::array<cpu::AxisTaps, 3> axes;
    for (int a = 0; a < 3; ++a) axes[std::size_t(a)] = rule.taps(a, from[std::size_t(a)], to[std::size_t(a)]);
    return axes;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops
