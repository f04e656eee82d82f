// compare — equal, not_equal, less, less_equal, greater, greater_equal: element by element, with broadcasting. No gradient.
#pragma once

#include <framegrad/cpu/pointwise.hpp>
#include <framegrad/cuda/pointwise.hpp>
#include <framegrad/cuda/walk_of.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/formula/compare.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T, class F>
struct Compare {
  static constexpr std::string_view name = F::name;
  static constexpr Layout layout = Layout::strided;
  using A = accum_t<T>;
  static_assert(sizeof(A) >= 4, "comparisons take floating types, int32 and int64");

  struct Attrs {};
  struct In { Tensor<T> a, b; };  // broadcast against each other
  struct Out { Tensor<bool> y; };
  struct Saved {};

  static void infer(const Attrs&, const In& in, Out& out, Saved&) {
    const Shape sizes = broadcast_shape(in.a.sizes(), in.b.sizes(), name);
    if (sizes == in.a.sizes()) out = {like<bool>(in.a)};
    else if (sizes == in.b.sizes()) out = {like<bool>(in.b)};
    else out = {of_shape<bool>(sizes)};
  }

  struct Value {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, std::uint8_t* y, const T* a, const T* b) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, select(F::holds(l.load(a), l.load(b)), V(1), V(0))); });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Shape& s = out.y.sizes();
    cpu::pointwise<Value>(reinterpret_cast<std::uint8_t*>(out.y.data()), out.y.geometry(),
                          {cpu::broadcast_strides(in.a.geometry(), s), cpu::broadcast_strides(in.b.geometry(), s)}, 0.5, static_cast<const T*>(in.a.data()),
                          static_cast<const T*>(in.b.data()));
  }
  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const Shape& s = out.y.sizes();
    cuda::CompareKernels<T, F>::value(cuda::walk_of<2>(out.y.geometry(), {cpu::broadcast_strides(in.a.geometry(), s), cpu::broadcast_strides(in.b.geometry(), s)}), out.y.data(),
                                      in.a.data(), in.b.data());
  }
};

}  // namespace ops

namespace detail {
template <class F, class T, int Ra, int Rb>
Tensor<bool, (Ra > Rb ? Ra : Rb)> compare(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) {
  return apply<ops::Compare<T, F>>({}, {Tensor<T>(a.detach()), Tensor<T>(b.detach())});
}
}  // namespace detail

/// a [...], b [...], or one of them a number → bool, of their broadcast shape. Throws ShapeError if they don't broadcast.
template <class T, int Ra, int Rb> auto equal(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return detail::compare<formula::Equal>(a, b); }
template <class T, int R> auto equal(const Tensor<T, R>& a, double b) { return equal(a, to(scalar(T(b)), a.device())); }

template <class T, int Ra, int Rb> auto not_equal(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return detail::compare<formula::NotEqual>(a, b); }
template <class T, int R> auto not_equal(const Tensor<T, R>& a, double b) { return not_equal(a, to(scalar(T(b)), a.device())); }

template <class T, int Ra, int Rb> auto less(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return detail::compare<formula::Less>(a, b); }
template <class T, int R> auto less(const Tensor<T, R>& a, double b) { return less(a, to(scalar(T(b)), a.device())); }

template <class T, int Ra, int Rb> auto less_equal(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return detail::compare<formula::LessEqual>(a, b); }
template <class T, int R> auto less_equal(const Tensor<T, R>& a, double b) { return less_equal(a, to(scalar(T(b)), a.device())); }

template <class T, int Ra, int Rb> auto greater(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return detail::compare<formula::Greater>(a, b); }
template <class T, int R> auto greater(const Tensor<T, R>& a, double b) { return greater(a, to(scalar(T(b)), a.device())); }

template <class T, int Ra, int Rb> auto greater_equal(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) { return detail::compare<formula::GreaterEqual>(a, b); }
template <class T, int R> auto greater_equal(const Tensor<T, R>& a, double b) { return greater_equal(a, to(scalar(T(b)), a.device())); }

}  // namespace fg::inline FRAMEGRAD_ABI
