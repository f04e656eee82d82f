// index_select — slices of an axis, picked by index.
//
//   y[..., i, ...] = x[..., index[i], ...]
//
// Gradient: dx[..., j, ...] = Σ dy[..., i, ...] over i with index[i] = j, in the order of i.
#pragma once

#include <framegrad/cpu/indexing.hpp>
#include <framegrad/cuda/indexing.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

/// A row-major tensor seen as [outer, n, inner] about an axis.
struct AboutAxis {
  Index outer = 1, n = 1, inner = 1;
  AboutAxis(const Shape& sizes, int axis) : n(sizes[axis]) {
    for (int i = 0; i < axis; ++i) outer *= sizes[i];
    for (int i = axis + 1; i < sizes.rank(); ++i) inner *= sizes[i];
  }
};

template <class T>
struct IndexSelect {
  static constexpr std::string_view name = "index_select";
  static constexpr Layout layout = Layout::row_major;

  struct Attrs { int axis; };
  struct In { Tensor<T> x; Tensor<std::int64_t> index; };  // index [count]
  struct Out { Tensor<T> y; };
  struct Saved { Tensor<std::int64_t> index; };

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    check_shape(in.index.rank() == 1, name, "index is ", in.index.sizes(), ", one axis is needed");
    Shape sizes = in.x.sizes();
    sizes[a.axis] = in.index.count();
    out = {of_shape<T>(sizes)};
    saved = {in.index};
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) {
    const AboutAxis x(in.x.sizes(), a.axis);
    cpu::check_indices(in.index.data(), in.index.count(), x.n, name);
    cpu::pick_rows(static_cast<const T*>(in.x.data()), in.index.data(), out.y.data(), x.outer, x.n, in.index.count(), x.inner);
  }
  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const AboutAxis x(d.x.sizes(), a.axis);
    const cpu::Destinations where(saved.index.data(), saved.index.count(), x.n);
    cpu::add_rows(static_cast<const T*>(g.y.data()), where, d.x.data(), x.outer, x.n, saved.index.count(), x.inner);
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const AboutAxis x(in.x.sizes(), a.axis);
    cuda::IndexKernels<T>::pick_rows(in.x.data(), in.index.data(), out.y.data(), x.outer, x.n, in.index.count(), x.inner);
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const AboutAxis x(d.x.sizes(), a.axis);
    cuda::IndexKernels<T>::add_rows(g.y.data(), saved.index.data(), d.x.data(), x.outer, x.n, saved.index.count(), x.inner);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [..., n, ...], index [m] → [..., m, ...]. Throws ShapeError if an index is not in [0, n).
template <class T, int R>
Tensor<T, R> index_select(const Tensor<T, R>& x, int axis, const Tensor<std::int64_t, 1>& index) {
  return apply<ops::IndexSelect<T>>({checked_axis(axis, R, "index_select")}, {x, index});
}

}  // namespace fg::inline FRAMEGRAD_ABI
