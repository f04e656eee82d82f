// What happens to a sum on its way into the result: scale, add, bias, activation, rounding.
//
//   h = alpha·s (+ c) + bias         pre_activation = h        c = f(h)
#pragma once

#include <framegrad/cpu/math.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

enum class Activation { none, gelu_tanh, gelu_erf, silu, relu };

/// f of a scalar or a vector.
template <Activation f, class V>
FRAMEGRAD_INLINE V activate(const V& x) {
  constexpr double c = 1.5957691216057308;  // 2·√(2/π): ½(1 + tanh u) = σ(2u)
  if constexpr (f == Activation::gelu_tanh) return x * sigmoid(x * (V(c) + V(c * 0.044715) * x * x));
  else if constexpr (f == Activation::gelu_erf) return V(0.5) * x * (V(1) + erf(x * V(0.70710678118654752)));
  else if constexpr (f == Activation::silu) return x * sigmoid(x);
  else if constexpr (f == Activation::relu) return max(V(0), x);  // in this order a NaN stays one
  else return x;
}

template <class Out>
struct GemmOptions {
  accum_t<Out> alpha = 1;
  bool accumulate = false;          // c += instead of c =
  const Out* bias = nullptr;        // [n]
  Activation activation = Activation::none;
  Out* pre_activation = nullptr;    // [m, n], rows as far apart as c's
};

template <class A, class Out>
struct GemmEpilogue {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index rows, Index columns, const A* sums, Index lds, Out* c, Index ldc, const GemmOptions<Out>& o) {
    switch (o.activation) {
      case Activation::none: return with<Activation::none, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::gelu_tanh: return with<Activation::gelu_tanh, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::gelu_erf: return with<Activation::gelu_erf, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::silu: return with<Activation::silu, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::relu: return with<Activation::relu, B>(rows, columns, sums, lds, c, ldc, o);
    }
  }

 private:
  template <Activation f, int B>
  FRAMEGRAD_INLINE static void with(Index rows, Index columns, const A* sums, Index lds, Out* c, Index ldc, const GemmOptions<Out>& o) {
    using V = Vec<A, B>;
    const A alpha = o.alpha;
    const bool accumulate = o.accumulate;
    const Out* const bias = o.bias;
    for (Index i = 0; i < rows; ++i) {
      const A* s = sums + i * lds;
      Out* to = c + i * ldc;
      Out* const pre = o.pre_activation ? o.pre_activation + i * ldc : nullptr;
      each<V>(columns, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        V h = l.load(s) * alpha;
        if (accumulate) h += l.load(to);
        if (bias) h += l.load(bias);
        if (pre) l.store(pre, h);
        l.store(to, activate<f>(h));
      });
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
