// mse — mean of squared differences.
//
//   y = mean((a − b)²)      ∂L/∂a = ∂L/∂y · 2(a − b)/n,  ∂L/∂b the same with the other sign
#pragma once

#include <framegrad/cpu/simd.hpp>
#include <framegrad/cuda/mse.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Mse {
  static constexpr std::string_view name = "mse";
  static constexpr Layout layout = Layout::dense;
  using A = accum_t<T>;

  struct Attrs {};
  struct In    { Tensor<T> a, b; };
  struct Out   { Tensor<A> y; };  // []
  struct Saved { Tensor<T> a, b; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.a.sizes() == in.b.sizes(), name, "a is ", in.a.sizes(), ", b ", in.b.sizes());
    out = {of_shape<A>({})};
    saved = {in.a, in.b};
  }

  struct Squares {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, const T* a, const T* b, A* out) {
      using V = cpu::Vec<A, B>;
      *out = cpu::sum<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
        const V v = l.load(a) - l.load(b);
        return v * v;
      });
    }
  };
  struct Differences {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index n, A scale, const T* a, const T* b, T* d) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(d, (l.load(a) - l.load(b)) * V(scale)); });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    constexpr Index kChunk = 1 << 15;  // numbers that share one partial sum
    const Index n = in.a.count(), chunks = (n + kChunk - 1) / kChunk;
    std::vector<A> partial(static_cast<std::size_t>(chunks));
    parallel_for(chunks, 0.2 * double(kChunk), [&](Range r) {
      for (Index i = r.begin; i < r.end; ++i)
        cpu::dispatch<Squares>(std::min(kChunk, n - i * kChunk), static_cast<const T*>(in.a.data() + i * kChunk), static_cast<const T*>(in.b.data() + i * kChunk),
                               partial.data() + i);
    });
    A s = 0;
    for (const A p : partial) s += p;
    *out.y.data() = s / A(n);
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Index n = saved.a.count();
    const A scale = *g.y.data() * 2 / A(n);
    const auto write = [&](Tensor<T>& to, A factor) {
      if (!to.defined()) return;
      parallel_for(n, 0.3, [&](Range r) {
        cpu::dispatch<Differences>(r.size(), factor, static_cast<const T*>(saved.a.data() + r.begin), static_cast<const T*>(saved.b.data() + r.begin), to.data() + r.begin);
      }, 64);
    };
    write(d.a, scale);
    write(d.b, -scale);
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    cuda::MseKernels<T>::forward(in.a.count(), in.a.data(), in.b.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    cuda::MseKernels<T>::backward(saved.a.count(), saved.a.data(), saved.b.data(), g.y.data(), d.a.defined() ? d.a.data() : nullptr, d.b.defined() ? d.b.data() : nullptr);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// a [...], b [...] → [], in f32 for bf16 and half. Throws ShapeError unless the shapes are equal.
template <class T, int R>
Tensor<accum_t<T>, 0> mse(const Tensor<T, R>& a, const Tensor<T, R>& b) {
  return Tensor<accum_t<T>, 0>(apply<ops::Mse<T>>({}, {a, b}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
