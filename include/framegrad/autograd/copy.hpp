// Copies outside the graph: what backward, optimizers and io move data with.
#pragma once

#include <framegrad/core/tensor.hpp>
#include <framegrad/cpu/strided.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {
/// A copy between two devices, one of which has src's memory and the other dst's.
void copy_across(const AnyTensor& dst, const AnyTensor& src, bool add);

/// copy_into on the CPU, for all pairs of types. A class template so that `extern template struct HostCopy<>` says that it is compiled elsewhere.
template <class = void>
struct HostCopy {
  static void run(const AnyTensor& dst, const AnyTensor& src, bool add);
};
}  // namespace detail

/// dst ← src (or dst + src), converted to dst's type; sizes must be equal, layouts and devices may differ. Announced by touch().
inline void copy_into(const AnyTensor& dst, const AnyTensor& src, bool add = false) {
  check_shape(dst.sizes() == src.sizes(), "copy_into", "source is ", src.sizes(), ", destination ", dst.sizes());
  if (dst.is_meta() || src.is_meta()) return;
  if constexpr (kWithCuda) {
    if (!(dst.device() == src.device())) return detail::copy_across(dst, src, add);
    if (dst.device().kind == Device::Kind::cuda) {
      const cuda::DeviceScope scope(dst.device().index);
      cuda::copy_strided(dst.dtype(), dst.raw(), dst.strides().begin(), src.dtype(), src.raw(), src.strides().begin(), dst.sizes().begin(), dst.rank(), add);
      return dst.touch();
    }
  }
  detail::HostCopy<>::run(dst, src, add);
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

/// Clears the memory of a dense tensor.
inline void fill_zero(const AnyTensor& x) {
  if (x.is_meta()) return;
  if constexpr (kWithCuda)
    if (x.device().kind == Device::Kind::cuda) {
      const cuda::DeviceScope scope(x.device().index);
      return cuda::fill_zero(x.raw(), x.bytes());
    }
  std::memset(x.raw(), 0, std::size_t(x.bytes()));
}

inline AnyTensor zeros_like(const AnyTensor& x) {
  AnyTensor z = AnyTensor::empty(x.dtype(), x.sizes(), dense_strides(x.sizes(), x.geometry()), x.device());
  fill_zero(z);
  return z;
}

/// x in another scalar type (or x itself if it has it already), without the graph.
inline AnyTensor converted(const AnyTensor& x, Dtype dtype) {
  if (x.dtype() == dtype) return x;
  AnyTensor y = AnyTensor::empty(dtype, x.sizes(), dense_strides(x.sizes(), x.geometry()), x.device());
  copy_into(y, x);
  return y;
}

/// x on a device (or x itself if it is there), in the same order of axes, without the graph. A copy to the host waits for the device.
inline AnyTensor to(const AnyTensor& x, Device device) {
  if (x.device() == device) return x;
  AnyTensor y = AnyTensor::empty(x.dtype(), x.sizes(), dense_strides(x.sizes(), x.geometry()), device);
  copy_into(y, x);
  return y;
}
/// The same for a typed tensor. Throws GradError for one that depends on a variable: detach it, or move the variable's slot.
template <class T, int R>
Tensor<T, R> to(const Tensor<T, R>& x, Device device) {
  check<GradError>(x.device() == device || !x.requires_grad(), "to", "a tensor that depends on a variable doesn't move with its graph");
  return Tensor<T, R>(to(static_cast<const AnyTensor&>(x), device));
}

template <class V>
void detail::HostCopy<V>::run(const AnyTensor& dst, const AnyTensor& src, bool add) {
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
}

inline void detail::copy_across(const AnyTensor& dst, const AnyTensor& src, bool add) {
  if constexpr (kWithCuda) {
    // What crosses is dense and has dst's type where the CPU can convert it: half the bytes for bf16.
    const Strides order = dense_strides(dst.sizes(), dst.geometry());
    const bool down = dst.device().kind == Device::Kind::cpu;
    if (!down && src.device().kind == Device::Kind::cuda) return copy_into(dst, to(src, kCpu), add);  // from GPU to GPU
    AnyTensor crossing = src.detach();
    if (!(src.strides() == order) || src.dtype() != dst.dtype()) {
      crossing = AnyTensor::empty(dst.dtype(), dst.sizes(), order, src.device());
      copy_into(crossing, src);
    }
    const cuda::DeviceScope scope(down ? src.device().index : dst.device().index);
    const auto move = [&](const AnyTensor& to) {
      if (down) cuda::copy_to_host(to.raw(), crossing.raw(), crossing.bytes());
      else cuda::copy_to_device(to.raw(), crossing.raw(), crossing.bytes());
    };
    if (!add && dst.is_dense()) return move(dst), dst.touch();
    const AnyTensor there = AnyTensor::empty(dst.dtype(), dst.sizes(), order, dst.device());
    move(there);
    copy_into(dst, there, add);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI
