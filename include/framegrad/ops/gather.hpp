// gather — elements of an axis, picked by an index for each element.
//
//   y[..., i, ...] = x[..., index[..., i, ...], ...]
//
// Gradient: dy is added to where it came from, in the order of i.
#pragma once

#include <framegrad/ops/index_select.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

/// Index and x must be equal but for the axis.
inline void check_beside(const AnyTensor& index, const AnyTensor& x, int axis, std::string_view name) {
  check_shape(index.rank() == x.rank(), name, "index is ", index.sizes(), ", x ", x.sizes(), ": the ranks must be equal");
  for (int i = 0; i < x.rank(); ++i)
    check_shape(i == axis || index.size(i) == x.size(i), name, "index is ", index.sizes(), ", x ", x.sizes(), ": they may differ at axis ", axis, " alone");
}

template <class T>
struct Gather {
  static constexpr std::string_view name = "gather";
  static constexpr Layout layout = Layout::row_major;

  struct Attrs { int axis; };
  struct In { Tensor<T> x; Tensor<std::int64_t> index; };
  struct Out { Tensor<T> y; };  // like index
  struct Saved { Tensor<std::int64_t> index; };

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    check_beside(in.index, in.x, a.axis, name);
    out = {of_shape<T>(in.index.sizes())};
    saved = {in.index};
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    const AboutAxis x(in.x.sizes(), a.axis);
    cpu::check_indices(in.index.data(), in.index.count(), x.n, name);
    cpu::pick_elements(static_cast<const T*>(in.x.data()), in.index.data(), out.y.data(), x.outer, x.n, in.index.size(a.axis), x.inner);
  }
  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const AboutAxis x(d.x.sizes(), a.axis);
    cpu::add_elements<T>(nullptr, g.y.data(), saved.index.data(), d.x.data(), x.outer, x.n, saved.index.size(a.axis), x.inner);
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const AboutAxis x(in.x.sizes(), a.axis);
    cuda::IndexKernels<T>::pick_elements(in.x.data(), in.index.data(), out.y.data(), x.outer, x.n, in.index.size(a.axis), x.inner);
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const AboutAxis x(d.x.sizes(), a.axis);
    cuda::IndexKernels<T>::add_elements(nullptr, g.y.data(), saved.index.data(), d.x.data(), x.outer, x.n, saved.index.size(a.axis), x.inner);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [..., n, ...], index [..., m, ...] → [..., m, ...]. Throws ShapeError if an index is not in [0, n), or the shapes differ elsewhere.
template <class T, int R>
Tensor<T, R> gather(const Tensor<T, R>& x, int axis, const Tensor<std::int64_t, R>& index) {
  return apply<ops::Gather<T>>({checked_axis(axis, R, "gather")}, {x, index});
}

}  // namespace fg::inline FRAMEGRAD_ABI
