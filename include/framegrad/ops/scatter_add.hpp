// scatter_add — adds elements at places of an axis that an index names.
//
//   y = x, then y[..., index[..., i, ...], ...] += src[..., i, ...]      in the order of i
//
// Gradient: dx = dy, dsrc = dy at the index.
#pragma once

#include <framegrad/ops/gather.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct ScatterAdd {
  static constexpr std::string_view name = "scatter_add";
  static constexpr Layout layout = Layout::row_major;

  struct Attrs { int axis; };
  struct In { Tensor<T> x; Tensor<std::int64_t> index; Tensor<T> src; };  // src like index
  struct Out { Tensor<T> y; };                                            // like x
  struct Saved { Tensor<std::int64_t> index; };

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    check_beside(in.index, in.x, a.axis, name);
    check_shape(in.src.sizes() == in.index.sizes(), name, "src is ", in.src.sizes(), ", index ", in.index.sizes(), ": they must be equal");
    out = {of_shape<T>(in.x.sizes())};
    saved = {in.index};
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    const AboutAxis x(in.x.sizes(), a.axis);
    cpu::check_indices(in.index.data(), in.index.count(), x.n, name);
    cpu::add_elements<T>(in.x.data(), in.src.data(), in.index.data(), out.y.data(), x.outer, x.n, in.index.size(a.axis), x.inner);
  }
  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const AboutAxis y(g.y.sizes(), a.axis);
    if (d.x.defined()) copy_into(d.x, g.y);
    if (d.src.defined())
      cpu::pick_elements(static_cast<const T*>(g.y.data()), saved.index.data(), d.src.data(), y.outer, y.n, saved.index.size(a.axis), y.inner);
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const AboutAxis x(in.x.sizes(), a.axis);
    cuda::IndexKernels<T>::add_elements(in.x.data(), in.src.data(), in.index.data(), out.y.data(), x.outer, x.n, in.index.size(a.axis), x.inner);
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const AboutAxis y(g.y.sizes(), a.axis);
    if (d.x.defined()) copy_into(d.x, g.y);
    if (d.src.defined()) cuda::IndexKernels<T>::pick_elements(g.y.data(), saved.index.data(), d.src.data(), y.outer, y.n, saved.index.size(a.axis), y.inner);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [..., n, ...], index and src [..., m, ...] → [..., n, ...]. Throws ShapeError if an index is not in [0, n), or the shapes differ elsewhere.
template <class T, int R>
Tensor<T, R> scatter_add(const Tensor<T, R>& x, int axis, const Tensor<std::int64_t, R>& index, const Tensor<T, R>& src) {
  return apply<ops::ScatterAdd<T>>({checked_axis(axis, R, "scatter_add")}, {x, index, src});
}

}  // namespace fg::inline FRAMEGRAD_ABI
