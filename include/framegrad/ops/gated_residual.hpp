// gated_residual — y = x + gate·h: a branch of a DiT block added to the stream through its gate.
//
//   ∂L/∂x = g     ∂L/∂h = gate·g     ∂L/∂gate = Σ g·h    over every axis between the batch and the last
//
// h may be a permuted view of what its layer computed: rows are found by strides, and nothing is copied. x's gradient is y's.
#pragma once

#include <framegrad/cpu/layer_norm.hpp>
#include <framegrad/cuda/gated_residual.hpp>
#include <framegrad/cuda/walk_of.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct GatedResidual {
  static constexpr std::string_view name = "gated_residual";
  static constexpr Layout layout = Layout::strided;
  using A = accum_t<T>;

  struct Attrs {};
  struct In { Tensor<T> x, gate, h; };   // x, h [B, ..., C]   gate [B, 1, ..., 1, C]
  struct Out { Tensor<T> y; };           // [B, ..., C], row-major
  struct Saved { Tensor<T> gate, h; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.h.sizes() == in.x.sizes(), name, "h is ", in.h.sizes(), ", x is ", in.x.sizes());
    check_per_sample(in.x, in.gate, name, "gate");
    out = {of_shape<T>(in.x.sizes())};
    saved = {in.gate, in.h};
  }

  struct Forward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index C, const T* x, const A* gate, const T* h, T* y) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, l.load(x) + l.load(gate) * l.load(h)); });
    }
  };
  struct Backward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index C, const T* g, const A* gate, const T* h, T* dh, A* dgate) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      if (dgate) cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dgate, l.load(dgate) + l.load(g) * l.load(h)); });
      if (dh) cpu::each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dh, l.load(g) * l.load(gate)); });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Rows r = collapse_to_rows(out.y);
    const Index rows = out.y.size(0) ? r.rows / out.y.size(0) : 0;
    const Tensor<T> x(with_unit_rows(in.x)), h(with_unit_rows(in.h));
    const std::vector<A> gate = gates(in.gate);
    parallel_for(r.rows, 0.3 * double(r.C), [&](Range chunk) {
      for (Index row = chunk.begin; row < chunk.end; ++row)
        cpu::dispatch<Forward>(r.C, static_cast<const T*>(x.data() + row_offset(x, row)), gate.data() + row / rows * r.C,
                               static_cast<const T*>(h.data() + row_offset(h, row)), out.y.data() + row * r.C);
    });
  }

  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Rows r = collapse_to_rows(g.y);
    const Index B = g.y.size(0);
    if (d.gate.defined() || d.h.defined()) {
      const Tensor<T> h(with_unit_rows(saved.h));
      const bool direct = d.h.defined() && (d.h.stride(-1) == 1 || r.C == 1);
      Tensor<T> dh = d.h;
      if (d.h.defined() && !direct) dh = of_shape<T>(d.h.sizes()), dh.allocate(kCpu);
      const std::vector<A> gate = gates(saved.gate);
      cpu::rows_with_sums<A>(B, B ? r.rows / B : 0, r.C, 0.7,
          [&](Index b, Range rows, A* dgate, A*) {
            for (Index row = rows.begin; row < rows.end; ++row)
              cpu::dispatch<Backward>(r.C, static_cast<const T*>(g.y.data() + row * r.C), gate.data() + b * r.C, static_cast<const T*>(h.data() + row_offset(h, row)),
                                      dh.defined() ? dh.data() + row_offset(dh, row) : nullptr, d.gate.defined() ? dgate : nullptr);
          },
          [&](Index b, int which, const A* sums) {
            if (which == 0 && d.gate.defined())
              for (Index c = 0; c < r.C; ++c) d.gate.data()[b * d.gate.stride(0) + c * d.gate.stride(-1)] = T(sums[c]);
          });
      if (d.h.defined() && !direct) copy_into(d.h, dh);
    }
    if (d.x.defined()) d.x = g.y;
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    const Tensor<T> x(with_unit_rows(in.x)), h(with_unit_rows(in.h));
    const cuda::Gate<const T> gate{in.gate.data(), in.gate.stride(0), in.gate.stride(-1)};
    cuda::GatedResidualKernels<T>::forward(rows_of(x, h), out.y.size(0), out.y.size(-1), x.data(), gate, h.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    if (d.gate.defined() || d.h.defined()) {
      const Tensor<T> h(with_unit_rows(saved.h));
      const bool direct = d.h.defined() && (d.h.stride(-1) == 1 || d.h.size(-1) == 1);
      Tensor<T> dh = d.h;
      if (d.h.defined() && !direct) dh = of_shape<T>(d.h.sizes()), dh.allocate(g.y.device());
      const cuda::Gate<const T> gate{saved.gate.data(), saved.gate.stride(0), saved.gate.stride(-1)};
      cuda::Gate<T> dgate;
      if (d.gate.defined()) dgate = {d.gate.data(), d.gate.stride(0), d.gate.stride(-1)};
      cuda::GatedResidualKernels<T>::backward(rows_of(h, dh.defined() ? dh : h), g.y.size(0), g.y.size(-1), g.y.data(), gate, h.data(), dh.defined() ? dh.data() : nullptr,
                                              dgate);
      if (d.h.defined() && !direct) copy_into(d.h, dh);
    }
    if (d.x.defined()) d.x = g.y;
  }

 private:
  /// Where the rows of two tensors of the same sizes begin.
  static cuda::Walk<2> rows_of(const Tensor<T>& a, const Tensor<T>& b) {
    const auto of_rows = [](Strides s) {
      s.erase(s.rank() - 1);
      return s;
    };
    Shape sizes = a.sizes();
    sizes.erase(sizes.rank() - 1);
    return cuda::walk_of<2>({sizes, row_major(sizes), 0}, {of_rows(a.strides()), of_rows(b.strides())});
  }
  static AnyTensor with_unit_rows(const Tensor<T>& t) { return t.stride(-1) == 1 || t.size(-1) == 1 ? AnyTensor(t) : row_major_copy(t); }
  static Index row_offset(const Tensor<T>& t, Index row) {
    Index at = 0;
    for (int a = t.rank() - 2; a >= 0; --a) at += row % t.sizes()[a] * t.strides()[a], row /= t.sizes()[a];
    return at;
  }
  static std::vector<A> gates(const Tensor<T>& gate) {
    const Index B = gate.size(0), C = gate.size(-1);
    std::vector<A> values(std::size_t(B * C));
    for (Index b = 0; b < B; ++b)
      for (Index c = 0; c < C; ++c) values[std::size_t(b * C + c)] = A(gate.data()[b * gate.stride(0) + c * gate.stride(-1)]);
    return values;
  }
};

}  // namespace ops

/// x and h [B, ..., C], gate [B, 1, ..., 1, C] → x + gate·h, [B, ..., C].
template <class T, int R>
Tensor<T, R> gated_residual(const Tensor<T, R>& x, const Tensor<T, R>& gate, const Tensor<T, R>& h) {
  return apply<ops::GatedResidual<T>>({}, {x, gate, h});
}

}  // namespace fg::inline FRAMEGRAD_ABI
