// cat — tensors one after the other along an axis. Gradient: each takes its part of dy.
#pragma once

#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Cat {
  static constexpr std::string_view name = "cat";
  static constexpr Layout layout = Layout::strided;

  struct Attrs {
    int axis;
    std::vector<Index> sizes;  // of each tensor along the axis
  };
  struct In { std::vector<Tensor<T>> xs; };  // equal but for the axis
  struct Out { Tensor<T> y; };               // in the order of memory of the first
  struct Saved {};

  static void infer(const Attrs& a, const In& in, Out& out, Saved&) {
    Shape sizes = in.xs.front().sizes();
    for (std::size_t i = 1; i < in.xs.size(); ++i) {
      Shape other = in.xs[i].sizes();
      other[a.axis] = in.xs.front().size(a.axis);
      check_shape(other == in.xs.front().sizes(), name, in.xs[i].sizes(), " after ", in.xs.front().sizes(), ": they may differ at axis ", a.axis, " alone");
      sizes[a.axis] += a.sizes[i];
    }
    out = {Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, dense_strides(sizes, in.xs.front().geometry())))};
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    for_each_part(a, out.y, [&](std::size_t i, const AnyTensor& part) { copy_into(part, in.xs[i]); });
  }
  static void backward(Cpu, const Attrs& a, const Saved&, const Out& g, In& d) {
    for_each_part(a, g.y, [&](std::size_t i, const AnyTensor& part) {
      if (d.xs[i].defined()) copy_into(d.xs[i], part);
    });
  }
  // Copies find the device themselves.
  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) { forward(Cpu{}, a, in, out, saved); }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) { backward(Cpu{}, a, saved, g, d); }

 private:
  template <class F>
  static void for_each_part(const Attrs& a, const AnyTensor& whole, F&& f) {
    Index at = 0;
    for (std::size_t i = 0; i < a.sizes.size(); at += a.sizes[i++])
      if (a.sizes[i] > 0) f(i, whole.slice(a.axis, at, at + a.sizes[i]));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// xs [..., n_i, ...] → [..., Σ n_i, ...]. Throws ShapeError if they differ at another axis, or none is given.
template <class T, int R>
Tensor<T, R> cat(const std::vector<Tensor<T, R>>& xs, int axis) {
  check_shape(!xs.empty(), "cat", "no tensor came, at least one is needed");
  typename ops::Cat<T>::Attrs a{checked_axis(axis, R, "cat"), {}};
  for (const auto& x : xs) a.sizes.push_back(x.defined() ? x.size(axis) : 0);
  return apply<ops::Cat<T>>(a, {std::vector<Tensor<T>>(xs.begin(), xs.end())});
}
template <class T, int R>
Tensor<T, R> cat(std::initializer_list<Tensor<T, R>> xs, int axis) { return cat(std::vector<Tensor<T, R>>(xs), axis); }

/// x [..., n, ...] → [..., n·times, ...]: x `times` times one after the other.
template <class T, int R>
Tensor<T, R> tile(const Tensor<T, R>& x, int axis, Index times) {
  check_shape(times >= 1, "tile", times, " times, at least 1 is needed");
  return cat(std::vector<Tensor<T, R>>(std::size_t(times), x), axis);
}

}  // namespace fg::inline FRAMEGRAD_ABI
