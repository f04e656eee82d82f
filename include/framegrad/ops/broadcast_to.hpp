// broadcast_to — repeats axes of size 1, and adds axes in front, up to a shape (NumPy's rule).
//
// Gradient: dy summed over what was repeated.
#pragma once

#include <framegrad/cpu/pointwise.hpp>
#include <framegrad/cpu/sum_to.hpp>
#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct BroadcastTo {
  static constexpr std::string_view name = "broadcast_to";
  static constexpr Layout layout = Layout::strided;

  struct Attrs { Shape sizes; };
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved {};

  static void infer(const Attrs& a, const In& in, Out& out, Saved&) {
    check_shape(in.x.rank() <= a.sizes.rank() && broadcast_shape(in.x.sizes(), a.sizes, name) == a.sizes, name, in.x.sizes(), " to ", a.sizes,
                ": only an axis of size 1 can be repeated");
    out = {of_shape<T>(a.sizes)};
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) { repeat(a, in, out); }
  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) { repeat(a, in, out); }
  static void backward(Cuda, const Attrs& a, const Saved&, const Out& g, In& d) requires OnDevice<T> {
    cuda::sum_to<T>(g.y.data(), g.y.geometry(), d.x.data(), cpu::broadcast_strides(d.x.geometry(), a.sizes));
  }
  static void repeat(const Attrs& a, const In& in, Out& out) {
    copy_into(out.y, in.x.viewed({a.sizes, cpu::broadcast_strides(in.x.geometry(), a.sizes), in.x.geometry().offset}));
  }
  static void backward(Cpu, const Attrs& a, const Saved&, const Out& g, In& d) {
    cpu::sum_to(static_cast<const T*>(g.y.data()), g.y.geometry(), d.x.data(), cpu::broadcast_strides(d.x.geometry(), a.sizes));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x → [sizes]. Throws ShapeError if x does not broadcast to them.
template <class T, int R, int To>
Tensor<T, To> broadcast_to(const Tensor<T, R>& x, const Index (&sizes)[To]) {
  static_assert(R <= To, "broadcasting adds axes, it takes none away");
  return apply<ops::BroadcastTo<T>>({Shape(std::span<const Index>(sizes))}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
