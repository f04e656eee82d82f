// contiguous — the same values, row-major. A tensor that is so already is returned as it is.
#pragma once

#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct Contiguous {
  static constexpr std::string_view name = "contiguous";
  static constexpr Layout layout = Layout::strided;
  struct Attrs {};
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved {};

  static void infer(const Attrs&, const In& in, Out& out, Saved&) { out = {of_shape<T>(in.x.sizes())}; }
  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) { copy_into(out.y, in.x); }
  static void backward(Cpu, const Attrs&, const Saved&, const Out& g, In& d) { copy_into(d.x, g.y); }
  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) { copy_into(out.y, in.x); }
  static void backward(Cuda, const Attrs&, const Saved&, const Out& g, In& d) { copy_into(d.x, g.y); }
};

}  // namespace ops

/// x → x, row-major.
template <class T, int R>
Tensor<T, R> contiguous(const Tensor<T, R>& x) {
  if (x.is_row_major()) return x;
  return apply<ops::Contiguous<T>>({}, {x});
}

namespace detail {
/// The same for a tensor whose type is not known; x of integers has no gradient.
inline AnyTensor contiguous_any(const AnyTensor& x) {
  if (x.is_row_major()) return x;
  AnyTensor y;
  visit_dtype(x.dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (is_floating<T>) y = apply<ops::Contiguous<T>>({}, {Tensor<T>(x)});
    else y = row_major_copy(x);
  });
  return y;
}
}  // namespace detail

}  // namespace fg::inline FRAMEGRAD_ABI
