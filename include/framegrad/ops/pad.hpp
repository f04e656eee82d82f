// pad — a border of one value around a tensor.
//
//   y[i] = x[i − before] inside, value outside        along each axis
//
// Gradient: the inside of dy.
#pragma once

#include <framegrad/op.hpp>
#include <framegrad/ops/window.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Pad {
  static constexpr std::string_view name = "pad";
  static constexpr Layout layout = Layout::strided;

  struct Attrs {
    std::array<Sides, kMaxRank> sides;  // by axis
    float value = 0;
  };
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved {};

  static void infer(const Attrs& a, const In& in, Out& out, Saved&) {
    Shape sizes = in.x.sizes();
    for (int i = 0; i < sizes.rank(); ++i) {
      const Sides& s = a.sides[std::size_t(i)];
      check_shape(s.before >= 0 && s.after >= 0, name, "axis ", i, " by ", s.before, " and ", s.after, ": neither may be negative");
      sizes[i] += s.before + s.after;
    }
    out = {Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, dense_strides(sizes, in.x.geometry())))};
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    const AnyTensor value = AnyTensor::empty(dtype_of<T>, Shape{});
    *static_cast<T*>(value.raw()) = T(a.value);
    AnyTensor rest = out.y;  // what no slab has covered yet
    for (int i = 0; i < rest.rank(); ++i) {
      const Sides& s = a.sides[std::size_t(i)];
      const Index n = rest.size(i);
      fill(rest.slice(i, 0, s.before), value), fill(rest.slice(i, n - s.after, n), value);
      rest = rest.slice(i, s.before, n - s.after);
    }
    copy_into(rest, in.x);
  }
  static void backward(Cpu, const Attrs& a, const Saved&, const Out& g, In& d) {
    AnyTensor inside = g.y;
    for (int i = 0; i < inside.rank(); ++i) inside = inside.slice(i, a.sides[std::size_t(i)].before, inside.size(i) - a.sides[std::size_t(i)].after);
    copy_into(d.x, inside);
  }
  // Copies find the device themselves.
  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) { forward(Cpu{}, a, in, out, saved); }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) { backward(Cpu{}, a, saved, g, d); }

 private:
  static void fill(const AnyTensor& slab, const AnyTensor& value) {
    if (slab.count() > 0) copy_into(slab, value.viewed({slab.sizes(), Shape::filled(slab.rank(), 0), 0}));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → each axis longer by sides[axis].before + after, filled with `value`: pad(x, {0, 0, Sides{2, 0}, 1, 1}).
/// Throws ShapeError if a side is negative.
template <class T, int R>
Tensor<T, R> pad(const Tensor<T, R>& x, const std::type_identity_t<PerAxis<Sides, R>>& sides, float value = 0) {
  typename ops::Pad<T>::Attrs a{{}, value};
  std::copy(sides.begin(), sides.end(), a.sides.begin());
  return apply<ops::Pad<T>>(a, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
