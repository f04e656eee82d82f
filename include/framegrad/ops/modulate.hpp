// modulate — y = x·(1 + scale) + shift: what a condition does to features, without a norm before it (layer_norm_modulate has one).
//
//   ∂L/∂x = g·(1 + scale)     ∂L/∂scale = Σ g·x     ∂L/∂shift = Σ g     over every axis between the batch and the last
//
// Axes: B batch, C features.
#pragma once

#include <framegrad/cpu/layer_norm.hpp>
#include <framegrad/cuda/modulate.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct Modulate {
  static constexpr std::string_view name = "modulate";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs {};
  struct In { Tensor<T> x, shift, scale; };   // x [B, ..., C]   shift, scale [B, 1, ..., 1, C]
  struct Out { Tensor<T> y; };                // [B, ..., C]
  struct Saved { Tensor<T> x, shift, scale; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_per_sample(in.x, in.shift, name, "shift");
    check_per_sample(in.x, in.scale, name, "scale");
    out = {like(in.x)};
    saved = {in.x, in.shift, in.scale};
  }

  struct Forward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index rows, Index C, const T* x, const T* shift, const T* scale, T* y) {
      using V = cpu::Vec<A, B>;
      for (Index row = 0; row < rows; ++row) {
        const T* xr = x + row * C;
        T* yr = y + row * C;
        cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(yr, l.load(xr) * (V(1) + l.load(scale)) + l.load(shift)); });
      }
    }
  };
  struct Backward {  // dx may be null; dscale and dshift are added to, and may be null
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* x, const T* scale, const T* g, T* dx, A* dscale, A* dshift) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index row = rows.begin; row < rows.end; ++row) {
        const T* xr = x + row * C;
        const T* gr = g + row * C;
        if (dscale) cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dscale, l.load(dscale) + l.load(gr) * l.load(xr)); });
        if (dshift) cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dshift, l.load(dshift) + l.load(gr)); });
        if (dx) cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dx + row * C, l.load(gr) * (V(1) + l.load(scale))); });
      }
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Rows r = collapse_to_rows(in.x);
    const Index B = in.x.size(0), rows = B ? r.rows / B : 0;
    parallel_for(r.rows, 0.3 * double(r.C), [&](Range chunk) {
      for (Index row = chunk.begin; row < chunk.end;) {  // sample by sample
        const Index b = row / rows, end = std::min(chunk.end, (b + 1) * rows);
        cpu::dispatch<Forward>(end - row, r.C, static_cast<const T*>(in.x.data() + row * r.C), static_cast<const T*>(in.shift.data() + b * r.C),
                               static_cast<const T*>(in.scale.data() + b * r.C), out.y.data() + row * r.C);
        row = end;
      }
    });
  }

  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Rows r = collapse_to_rows(saved.x);
    const Index B = saved.x.size(0);
    T* dx = d.x.defined() ? d.x.data() : nullptr;
    cpu::rows_with_sums<A>(B, B ? r.rows / B : 0, r.C, 0.7,
        [&](Index b, Range rows, A* dscale, A* dshift) {
          cpu::dispatch<Backward>(rows, r.C, static_cast<const T*>(saved.x.data()), static_cast<const T*>(saved.scale.data() + b * r.C),
                                  static_cast<const T*>(g.y.data()), dx, d.scale.defined() ? dscale : nullptr, d.shift.defined() ? dshift : nullptr);
        },
        [&](Index b, int which, const A* sums) {
          const Tensor<T>& to = which == 0 ? d.scale : d.shift;
          if (to.defined()) for (Index c = 0; c < r.C; ++c) to.data()[b * r.C + c] = T(sums[c]);
        });
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const Rows r = collapse_to_rows(in.x);
    const Index B = in.x.size(0);
    cuda::ModulateKernels<T>::forward(B, B ? r.rows / B : 0, r.C, in.x.data(), in.shift.data(), in.scale.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const Rows r = collapse_to_rows(saved.x);
    const Index B = saved.x.size(0);
    const auto wanted = [](const Tensor<T>& t) { return t.defined() ? t.data() : nullptr; };
    cuda::ModulateKernels<T>::backward(B, B ? r.rows / B : 0, r.C, saved.x.data(), saved.scale.data(), g.y.data(), wanted(d.x), wanted(d.shift), wanted(d.scale));
  }

  template <class Where>
  static void recompute(Where on, const Attrs& a, const Saved& s, Out& out) { forward(on, a, {s.x, s.shift, s.scale}, out, nullptr); }
};

}  // namespace ops

/// x [B, ..., C], shift and scale [B, 1, ..., 1, C] → x·(1 + scale) + shift, [B, ..., C]. Throws ShapeError.
template <class T, int R>
Tensor<T, R> modulate(const Tensor<T, R>& x, const Tensor<T, R>& shift, const Tensor<T, R>& scale) {
  return apply<ops::Modulate<T>>({}, {x, shift, scale});
}

}  // namespace fg::inline FRAMEGRAD_ABI
