// where — y = a where a condition holds, b elsewhere; all three broadcast against each other.
//
//   ∂L/∂a = g where it holds, 0 elsewhere     ∂L/∂b = g where it doesn't     summed over what was broadcast
//
// What isn't chosen plays no part, in either direction: a NaN there stays there.
#pragma once

#include <framegrad/cpu/pointwise.hpp>
#include <framegrad/cpu/sum_to.hpp>
#include <framegrad/cuda/pointwise.hpp>
#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct Where {
  static constexpr std::string_view name = "where";
  static constexpr Layout layout = Layout::strided;
  using A = accum_t<T>;
  static_assert(is_floating<T>, "where chooses between floating tensors");

  struct Attrs {};
  struct In { Tensor<bool> condition; Tensor<T> a, b; };
  struct Out { Tensor<T> y; };
  struct Saved { Tensor<bool> condition; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    const Shape sizes = broadcast_shape(in.condition.sizes(), broadcast_shape(in.a.sizes(), in.b.sizes(), name), name);
    if (sizes == in.a.sizes()) out = {like(in.a)};
    else if (sizes == in.b.sizes()) out = {like(in.b)};
    else out = {of_shape<T>(sizes)};
    saved = {in.condition};
  }

  struct Value {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, T* y, const bool* condition, const T* a, const T* b) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, select(l.load(condition) != V(0), l.load(a), l.load(b))); });
    }
  };
  template <bool ForA>
  struct Slope {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, T* d, const bool* condition, const T* g) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
        const auto holds = l.load(condition) != V(0);
        l.store(d, select(holds, ForA ? l.load(g) : V(0), ForA ? V(0) : l.load(g)));
      });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Shape& s = out.y.sizes();
    cpu::pointwise<Value>(out.y.data(), out.y.geometry(),
                          {cpu::broadcast_strides(in.condition.geometry(), s), cpu::broadcast_strides(in.a.geometry(), s), cpu::broadcast_strides(in.b.geometry(), s)},
                          0.6, static_cast<const bool*>(in.condition.data()), static_cast<const T*>(in.a.data()), static_cast<const T*>(in.b.data()));
  }
  static void backward(Cpu on, const Attrs&, const Saved& saved, const Out& g, In& d) {
    if (d.a.defined()) slope_into<true>(on, d.a, saved.condition, g.y);
    if (d.b.defined()) slope_into<false>(on, d.b, saved.condition, g.y);
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const Shape& s = out.y.sizes();
    cuda::WhereKernels<T>::value(cuda::walk_of<3>(out.y.geometry(), {cpu::broadcast_strides(in.condition.geometry(), s), cpu::broadcast_strides(in.a.geometry(), s),
                                                                     cpu::broadcast_strides(in.b.geometry(), s)}),
                                 out.y.data(), in.condition.data(), in.a.data(), in.b.data());
  }
  static void backward(Cuda on, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    if (d.a.defined()) slope_into<true>(on, d.a, saved.condition, g.y);
    if (d.b.defined()) slope_into<false>(on, d.b, saved.condition, g.y);
  }

 private:
  // Over the broadcast shape, then summed to the operand's if that is smaller.
  template <bool ForA, class On>
  static void slope_into(On, const Tensor<T>& d, const Tensor<bool>& condition, const Tensor<T>& g) {
    const Shape& s = g.sizes();
    const bool same = d.sizes() == s;
    Tensor<T> full = d;
    if (!same || !d.is_dense()) full = like(g), full.allocate(g.device());
    const Strides sc = cpu::broadcast_strides(condition.geometry(), s), sg = cpu::broadcast_strides(g.geometry(), s), sd = cpu::broadcast_strides(d.geometry(), s);
    if constexpr (std::is_same_v<On, Cuda>) {
      cuda::WhereKernels<T>::slope(cuda::walk_of<2>(full.geometry(), {sc, sg}), ForA, full.data(), condition.data(), g.data());
      if (!same) cuda::sum_to<T>(full.data(), full.geometry(), d.data(), sd);
    } else {
      cpu::pointwise<Slope<ForA>>(full.data(), full.geometry(), {sc, sg}, 0.6, static_cast<const bool*>(condition.data()), static_cast<const T*>(g.data()));
      if (!same) cpu::sum_to(static_cast<const T*>(full.data()), full.geometry(), d.data(), sd);
    }
    if (same && !d.is_dense()) copy_into(d, full);
  }
};

}  // namespace ops

/// condition [...], a [...], b [...] → a where the condition holds, b elsewhere, of their broadcast shape. Throws ShapeError if they don't broadcast.
template <class T, int Rc, int Ra, int Rb>
Tensor<T, std::max({Rc, Ra, Rb})> where(const Tensor<bool, Rc>& condition, const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) {
  return apply<ops::Where<T>>({}, {condition, a, b});
}
/// The same with a number for a or b: where(mask, x, 0).
template <class T, int Rc, int R>
auto where(const Tensor<bool, Rc>& condition, const Tensor<T, R>& a, double b) { return where(condition, a, to(scalar(T(b)), a.device())); }
template <class T, int Rc, int R>
auto where(const Tensor<bool, Rc>& condition, double a, const Tensor<T, R>& b) { return where(condition, to(scalar(T(a)), b.device()), b); }

}  // namespace fg::inline FRAMEGRAD_ABI
