// Copies outside the graph: what backward, optimizers and io move data with.
#pragma once

#include <framegrad/core/tensor.hpp>
#include <framegrad/cpu/strided.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// dst ← src (or dst + src), converted to dst's type; sizes must be equal, layouts may differ. Announced by touch().
inline void copy_into(const AnyTensor& dst, const AnyTensor& src, bool add = false) {
  check_shape(dst.sizes() == src.sizes(), "copy_into", "source is ", src.sizes(), ", destination ", dst.sizes());
  if (dst.is_meta() || src.is_meta()) return;
  bool done = false;
  const auto direct = [&]<class D, class S>(D, S) {
    if (dst.dtype() != dtype_of<D> || src.dtype() != dtype_of<S>) return;
    cpu::copy_strided(static_cast<D*>(dst.raw()), dst.geometry(), static_cast<const S*>(src.raw()), src.strides(), add);
    done = true;
  };
  if (dst.dtype() == src.dtype()) {
    visit_dtype(dst.dtype(), [&](auto t) { direct(t, t); });
  } else {
    direct(float{}, bf16{}), direct(bf16{}, float{});  // what training moves
  }
  if (!done) cpu::convert_strided(dst.dtype(), dst.raw(), dst.geometry(), src.dtype(), src.raw(), src.strides(), add);
  dst.touch();
}

/// Sets every element, whatever the layout. Announced by touch().
template <class T>
void fill(const Tensor<T>& x, std::type_identity_t<T> value) {
  copy_into(x, scalar(value).viewed({x.sizes(), Shape::filled(x.rank(), 0), 0}));
}

/// A dense row-major copy, without the graph.
inline AnyTensor row_major_copy(const AnyTensor& x) {
  AnyTensor y = AnyTensor::empty(x.dtype(), x.sizes(), x.device());
  copy_into(y, x);
  return y;
}

inline AnyTensor zeros_like(const AnyTensor& x) {
  AnyTensor z = AnyTensor::empty(x.dtype(), x.sizes(), dense_strides(x.sizes(), x.geometry()), x.device());
  if (!z.is_meta()) std::memset(z.raw(), 0, std::size_t(z.bytes()));
  return z;
}

/// x in another scalar type (or x itself if it has it already), without the graph.
inline AnyTensor converted(const AnyTensor& x, Dtype dtype) {
  if (x.dtype() == dtype) return x;
  AnyTensor y = AnyTensor::empty(dtype, x.sizes(), dense_strides(x.sizes(), x.geometry()), x.device());
  copy_into(y, x);
  return y;
}

}  // namespace fg::inline FRAMEGRAD_ABI
