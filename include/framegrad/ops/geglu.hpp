// geglu — y = a·gelu(b), a and b the halves of the last axis: what Stable Diffusion's transformers have between their two projections.
//
//   ∂L/∂a = g·gelu(b)     ∂L/∂b = g·a·gelu'(b)          Shazeer 2020 (arXiv:2002.05202), eq. 6, whose gate is the half that comes first
//
// gelu by erf. One pass over x forward, and one backward over x and g.
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/cpu/simd.hpp>
#include <framegrad/cuda/geglu.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/formula/gelu.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct Geglu {
  static constexpr std::string_view name = "geglu";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs {};
  struct In { Tensor<T> x; };      // [..., 2C]: values, then gates
  struct Out { Tensor<T> y; };     // [..., C]
  struct Saved { Tensor<T> x; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.x.rank() > 0 && in.x.size(-1) % 2 == 0, name, "x is ", in.x.sizes(), ": the last axis must part in two halves");
    Shape sizes = in.x.sizes();
    sizes[sizes.rank() - 1] /= 2;
    out = {of_shape<T>(sizes)};
    saved = {in.x};
  }

  struct Forward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, T* y) {
      using V = cpu::Vec<A, B>;
      for (; rows > 0; --rows, x += 2 * C, y += C)
        cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, l.load(x) * formula::Gelu::value(l.load(x + C))); });
    }
  };
  struct Backward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, const T* g, T* dx) {
      using V = cpu::Vec<A, B>;
      for (; rows > 0; --rows, x += 2 * C, g += C, dx += 2 * C)
        cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
          const V b = l.load(x + C), up = l.load(g), value = up * l.load(x);
          l.store(dx, up * formula::Gelu::value(b));
          l.store(dx + C, value * formula::Gelu::slope(b));
        });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Rows r = collapse_to_rows(out.y);
    parallel_for(r.rows, 2.0 * double(r.C), [&](Range rows) {
      cpu::dispatch<Forward>(rows.size(), r.C, static_cast<const T*>(in.x.data()) + rows.begin * 2 * r.C, out.y.data() + rows.begin * r.C);
    });
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Rows r = collapse_to_rows(g.y);
    parallel_for(r.rows, 4.0 * double(r.C), [&](Range rows) {
      const Index x = rows.begin * 2 * r.C;
      cpu::dispatch<Backward>(rows.size(), r.C, static_cast<const T*>(saved.x.data()) + x, static_cast<const T*>(g.y.data()) + rows.begin * r.C, d.x.data() + x);
    });
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const Rows r = collapse_to_rows(out.y);
    cuda::GegluKernels<T>::forward(r.rows, r.C, in.x.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const Rows r = collapse_to_rows(g.y);
    cuda::GegluKernels<T>::backward(r.rows, r.C, saved.x.data(), g.y.data(), d.x.data());
  }

  template <class Where>
  static void recompute(Where on, const Attrs& a, const Saved& s, Out& out) { forward(on, a, {s.x}, out, nullptr); }
};

}  // namespace ops

/// x [..., 2C], values and then gates → value·gelu(gate), [..., C]. An odd last axis throws ShapeError.
template <class T, int R>
Tensor<T, R> geglu(const Tensor<T, R>& x) {
  return apply<ops::Geglu<T>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
