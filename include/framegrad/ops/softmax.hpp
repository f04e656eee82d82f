// softmax and log_softmax over one axis.
//
//   m = max(x)    s = Σ e^(x − m)         over the axis
//   softmax       y = e^(x − m) / s       ∂L/∂x = y·(g − Σ g·y)       with g = ∂L/∂y
//   log_softmax   y = x − m − ln s        ∂L/∂x = g − e^y·Σ g
//
// The last axis is read as it lies; another one as a view in which it is the last. A row that is −∞ throughout gives NaN.
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/cuda/softmax.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

/// The parts that both have.
template <class T>
struct SoftmaxParts {
  struct Attrs {};
  struct In { Tensor<T> x; };     // [..., C]
  struct Out { Tensor<T> y; };    // [..., C]
  struct Saved { Tensor<T> y; };  // the output itself

  static Out described(const In& in, std::string_view name) {
    check_shape(in.x.rank() >= 1, name, "x is ", in.x.sizes(), ", at least one axis is needed");
    return {like(in.x)};
  }
  static void keep(const Out& out, Saved& saved) { saved.y = out.y; }
};

template <class T>
struct Softmax : SoftmaxParts<T> {
  static constexpr std::string_view name = "softmax";
  using A = accum_t<T>;
  using typename SoftmaxParts<T>::Attrs, typename SoftmaxParts<T>::In, typename SoftmaxParts<T>::Out, typename SoftmaxParts<T>::Saved;

  static void infer(const Attrs&, const In& in, Out& out, Saved&) { out = Softmax::described(in, name); }

  struct Forward {  // `e` holds a row of e^(x − m): y itself where T is wide enough
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* x, T* y, A* e) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index row = rows.begin; row < rows.end; ++row) {
        const T* xr = x + row * C;
        T* yr = y + row * C;
        A* er = e;
        if constexpr (std::is_same_v<T, A>) er = yr;
        const V m(cpu::max<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(xr); }));
        const A s = cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V v = cpu::exp(l.load(xr) - m);
          l.store(er, v);
          return v;
        });
        const V r(1 / s);
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(yr, l.load(er) * r); });
      }
    }
  };
  struct Backward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* y, const T* g, T* dx) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index at = rows.begin * C; at < rows.end * C; at += C) {
        const V dot(cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(g + at) * l.load(y + at); }));
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dx + at, l.load(y + at) * (l.load(g + at) - dot)); });
      }
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const auto [rows, C] = collapse_to_rows(in.x);
    parallel_for(rows, double(C), [&, C = C](Range chunk) {
      std::vector<A> e(std::is_same_v<T, A> ? 0 : std::size_t(C));
      cpu::dispatch<Forward>(chunk, C, in.x.data(), out.y.data(), e.data());
    });
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const auto [rows, C] = collapse_to_rows(saved.y);
    parallel_for(rows, 0.5 * double(C), [&, C = C](Range chunk) { cpu::dispatch<Backward>(chunk, C, saved.y.data(), g.y.data(), d.x.data()); });
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const auto [rows, C] = collapse_to_rows(in.x);
    cuda::SoftmaxKernels<T, false>::forward(rows, C, in.x.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const auto [rows, C] = collapse_to_rows(saved.y);
    cuda::SoftmaxKernels<T, false>::backward(rows, C, saved.y.data(), g.y.data(), d.x.data());
  }
};

template <class T>
struct LogSoftmax : SoftmaxParts<T> {
  static constexpr std::string_view name = "log_softmax";
  using A = accum_t<T>;
  using typename SoftmaxParts<T>::Attrs, typename SoftmaxParts<T>::In, typename SoftmaxParts<T>::Out, typename SoftmaxParts<T>::Saved;

  static void infer(const Attrs&, const In& in, Out& out, Saved&) { out = LogSoftmax::described(in, name); }

  struct Forward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* x, T* y) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index at = rows.begin * C; at < rows.end * C; at += C) {
        const V m(cpu::max<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(x + at); }));
        const V log_sum(std::log(cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return cpu::exp(l.load(x + at) - m); })));
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(y + at, l.load(x + at) - m - log_sum); });
      }
    }
  };
  struct Backward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* y, const T* g, T* dx) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index at = rows.begin * C; at < rows.end * C; at += C) {
        const V total(cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(g + at); }));
        cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dx + at, l.load(g + at) - cpu::exp(l.load(y + at)) * total); });
      }
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const auto [rows, C] = collapse_to_rows(in.x);
    parallel_for(rows, double(C), [&, C = C](Range chunk) { cpu::dispatch<Forward>(chunk, C, in.x.data(), out.y.data()); });
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const auto [rows, C] = collapse_to_rows(saved.y);
    parallel_for(rows, double(C), [&, C = C](Range chunk) { cpu::dispatch<Backward>(chunk, C, saved.y.data(), g.y.data(), d.x.data()); });
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const auto [rows, C] = collapse_to_rows(in.x);
    cuda::SoftmaxKernels<T, true>::forward(rows, C, in.x.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const auto [rows, C] = collapse_to_rows(saved.y);
    cuda::SoftmaxKernels<T, true>::backward(rows, C, saved.y.data(), g.y.data(), d.x.data());
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...], e^x divided by its sum over an axis, the last if none is named: softmax<1>(x).
template <int Axis = -1, class T, int R>
Tensor<T, R> softmax(const Tensor<T, R>& x) {
  static_assert(Axis >= -R && Axis < R, "softmax: no such axis");
  const Tensor<T, R> y(apply<ops::Softmax<T>>({}, {Tensor<T>(x.transpose(Axis, -1))}));
  return Tensor<T, R>(y.transpose(Axis, -1));
}

/// x [...] → [...], the logarithm of softmax, precise where that is near 0.
template <int Axis = -1, class T, int R>
Tensor<T, R> log_softmax(const Tensor<T, R>& x) {
  static_assert(Axis >= -R && Axis < R, "log_softmax: no such axis");
  const Tensor<T, R> y(apply<ops::LogSoftmax<T>>({}, {Tensor<T>(x.transpose(Axis, -1))}));
  return Tensor<T, R>(y.transpose(Axis, -1));
}

}  // namespace fg::inline FRAMEGRAD_ABI
