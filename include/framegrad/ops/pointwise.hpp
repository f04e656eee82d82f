// What the pointwise ops share. An op of one operand gives a formula with
//
//   value(x)            y
//   slope(x)            dy/dx, or with `from_output` slope(y): then y is saved instead of x
//
// and an op of two, which broadcast against each other, value(a, b), slope_a(a, b), slope_b(a, b); with `linear` the
// slopes don't read the operands, and nothing is saved. The formulas are templates over scalars and vectors.
#pragma once

#include <framegrad/cpu/pointwise.hpp>
#include <framegrad/cpu/sum_to.hpp>
#include <framegrad/cuda/pointwise.hpp>
#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class F> constexpr bool reads_output() {
  if constexpr (requires { F::from_output; }) return F::from_output;
  else return false;
}
template <class F> constexpr bool is_linear() {
  if constexpr (requires { F::linear; }) return F::linear;
  else return false;
}

template <class T, class F>
struct Unary {
  static constexpr std::string_view name = F::name;
  static constexpr Layout layout = Layout::dense;
  using A = accum_t<T>;
  static_assert(is_floating<T>, "pointwise ops work on floating tensors");

  using Attrs = F;
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved { Tensor<T> kept; };  // x, or y where the slope is simpler from it

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    out = {like(in.x)};
    if (!reads_output<F>()) saved = {in.x};
  }
  static void keep(const Out& out, Saved& saved) {
    if (reads_output<F>()) saved.kept = out.y;
  }

  struct Value {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, T* y, const T* x, const F& f) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, f.value(l.load(x))); });
    }
  };
  struct Slope {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, T* dx, const T* kept, const T* g, const F& f) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(dx, l.load(g) * f.slope(l.load(kept))); });
    }
  };

  static void forward(Cpu, const Attrs& f, const In& in, Out& out, Saved*) {
    parallel_for(in.x.count(), 1.0, [&](Range r) {
      cpu::dispatch<Value>(r.size(), out.y.data() + r.begin, static_cast<const T*>(in.x.data()) + r.begin, f);
    }, 64);
  }
  /// dx = g·f′(kept), n of each.
  static void slopes(Index n, T* dx, const T* kept, const T* g, const F& f) {
    parallel_for(n, 1.0, [&](Range r) { cpu::dispatch<Slope>(r.size(), dx + r.begin, kept + r.begin, g + r.begin, f); }, 64);
  }
  static void backward(Cpu, const Attrs& f, const Saved& saved, const Out& g, In& d) { slopes(d.x.count(), d.x.data(), saved.kept.data(), g.y.data(), f); }

  static void forward(Cuda, const Attrs& f, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    cuda::UnaryKernels<T, F>::value(in.x.count(), out.y.data(), in.x.data(), f);
    if (reads_output<F>() && saved) saved->kept = out.y;
  }
  static void backward(Cuda, const Attrs& f, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    cuda::UnaryKernels<T, F>::slope(d.x.count(), d.x.data(), saved.kept.data(), g.y.data(), f);
  }

  template <class Where>
  static void recompute(Where on, const Attrs& f, const Saved& s, Out& out) requires(!reads_output<F>()) { forward(on, f, {s.kept}, out, nullptr); }
};

template <class T, class F>
struct Binary {
  static constexpr std::string_view name = F::name;
  static constexpr Layout layout = Layout::strided;
  using A = accum_t<T>;
  static_assert(is_floating<T>, "pointwise ops work on floating tensors");

  struct Attrs {};
  struct In { Tensor<T> a, b; };  // broadcast against each other
  struct Out { Tensor<T> y; };
  struct Saved { Tensor<T> a, b; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    const Shape sizes = broadcast_shape(in.a.sizes(), in.b.sizes(), name);
    if (sizes == in.a.sizes()) out = {like(in.a)};
    else if (sizes == in.b.sizes()) out = {like(in.b)};
    else out = {of_shape<T>(sizes)};
    if (!is_linear<F>()) saved = {in.a, in.b};
  }

  struct Value {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, T* y, const T* a, const T* b) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, F::value(l.load(a), l.load(b))); });
    }
  };
  template <bool ForA>
  struct Slope {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, T* d, const T* g, const T* a, const T* b) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
        if constexpr (ForA) l.store(d, l.load(g) * F::slope_a(l.load(a), l.load(b)));
        else l.store(d, l.load(g) * F::slope_b(l.load(a), l.load(b)));
      });
    }
    template <int B>  // linear: the slope is a constant
    FRAMEGRAD_INLINE static void run(Index n, T* d, const T* g) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
        if constexpr (ForA) l.store(d, l.load(g) * F::slope_a(V(0), V(0)));
        else l.store(d, l.load(g) * F::slope_b(V(0), V(0)));
      });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Shape& s = out.y.sizes();
    cpu::pointwise<Value>(out.y.data(), out.y.geometry(), {cpu::broadcast_strides(in.a.geometry(), s), cpu::broadcast_strides(in.b.geometry(), s)}, 0.5,
                          static_cast<const T*>(in.a.data()), static_cast<const T*>(in.b.data()));
  }
  static void backward(Cpu on, const Attrs&, const Saved& saved, const Out& g, In& d) { slopes(on, saved, g, d); }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const Shape& s = out.y.sizes();
    cuda::BinaryKernels<T, F>::value(cuda::walk_of<2>(out.y.geometry(), {cpu::broadcast_strides(in.a.geometry(), s), cpu::broadcast_strides(in.b.geometry(), s)}), out.y.data(),
                                     in.a.data(), in.b.data());
  }
  static void backward(Cuda on, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> { slopes(on, saved, g, d); }

 private:
  // A slope of 1: the gradient goes through as it is.
  template <bool ForA>
  static bool passes(const Tensor<T>& d, const Tensor<T>& g) {
    if constexpr (requires { F::template passes<ForA>; }) return F::template passes<ForA> && d.geometry() == g.geometry();
    return false;
  }

  template <class Where>
  static void slopes(Where on, const Saved& saved, const Out& g, In& d) {
    if (d.a.defined()) passes<true>(d.a, g.y) ? void(d.a = g.y) : slope_into<true>(on, d.a, saved, g.y);
    if (d.b.defined()) passes<false>(d.b, g.y) ? void(d.b = g.y) : slope_into<false>(on, d.b, saved, g.y);
  }

  // g·slope over the broadcast shape, then summed to the operand's if that is smaller.
  template <bool ForA, class Where>
  static void slope_into(Where on, const Tensor<T>& d, const Saved& saved, const Tensor<T>& g) {
    const Shape& s = g.sizes();
    const bool same = d.sizes() == s;
    Tensor<T> full = d;
    if (!same || !d.is_dense()) {
      full = like(g);
      full.allocate(g.device());
    }
    slope_of<ForA>(on, full, saved, g);
    if (!same) {
      const Strides to = cpu::broadcast_strides(d.geometry(), s);
      if constexpr (std::is_same_v<Where, Cuda>) cuda::sum_to<T>(full.data(), full.geometry(), d.data(), to);
      else cpu::sum_to(static_cast<const T*>(full.data()), full.geometry(), d.data(), to);
    } else if (!d.is_dense()) {
      copy_into(d, full);
    }
  }

  template <bool ForA>
  static void slope_of(Cuda, const Tensor<T>& full, const Saved& saved, const Tensor<T>& g) {
    const Shape& s = g.sizes();
    const Strides gs = cpu::broadcast_strides(g.geometry(), s);
    const auto run = [&](const cuda::Walk<3>& w, const T* a, const T* b) {
      if constexpr (ForA) cuda::BinaryKernels<T, F>::slope_a(w, full.data(), g.data(), a, b);
      else cuda::BinaryKernels<T, F>::slope_b(w, full.data(), g.data(), a, b);
    };
    if constexpr (is_linear<F>()) run(cuda::walk_of<3>(full.geometry(), {gs, gs, gs}), nullptr, nullptr);
    else run(cuda::walk_of<3>(full.geometry(), {gs, cpu::broadcast_strides(saved.a.geometry(), s), cpu::broadcast_strides(saved.b.geometry(), s)}), saved.a.data(), saved.b.data());
  }

  template <bool ForA>
  static void slope_of(Cpu, const Tensor<T>& full, const Saved& saved, const Tensor<T>& g) {
    const Shape& s = g.sizes();
    const Strides gs = cpu::broadcast_strides(g.geometry(), s);
    if constexpr (is_linear<F>()) {
      cpu::pointwise<Slope<ForA>>(full.data(), full.geometry(), {gs}, 0.5, static_cast<const T*>(g.data()));
    } else {
      cpu::pointwise<Slope<ForA>>(full.data(), full.geometry(), {gs, cpu::broadcast_strides(saved.a.geometry(), s), cpu::broadcast_strides(saved.b.geometry(), s)},
                                  0.7, static_cast<const T*>(g.data()), static_cast<const T*>(saved.a.data()), static_cast<const T*>(saved.b.data()));
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops
