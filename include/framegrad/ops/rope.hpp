// rope — rotary position embedding: each pair of a head's features turned by an angle that grows with the position.
//
//   θ(n, i) = p(n)·base^(−2i/d)        y₁ = x₁·cos θ − x₂·sin θ      y₂ = x₂·cos θ + x₁·sin θ      Su et al. 2021 (arXiv:2104.09864), eq. 15
//
// Pair i of a head is features 2i and 2i + 1 (RopeAdjacent, as in the paper and CogVideoX), or i and i + d/2 (RopeHalves, as in LLaMA).
// A rotation's gradient is the rotation back. The tables are constants.
//
// Axes: N positions, the axis before the last; d head_dim; the last axis holds any number of heads.
#pragma once

#include <framegrad/cuda/rope.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/contiguous.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Which features make a pair: rope<RopeAdjacent>(x, table).
struct RopeAdjacent {};
struct RopeHalves {};

/// cos θ and sin θ, a row for each position, a column for each pair.
template <class A>
struct RopeTable {
  Tensor<A, 2> cos, sin;  // [N, d/2]
};

/// positions p [N] → their angles' table for head_dim d. Tables over several axes (frames, height, width) are joined along the columns, by cat.
template <class A>
RopeTable<A> rope_table(const Tensor<double, 1>& positions, Index d, double base = 10000) {
  check_shape(d > 0 && d % 2 == 0, "rope_table", "head_dim is ", d, ", an even number is needed");
  const Index N = positions.size(0);
  const RopeTable<A> t{empty<A>({N, d / 2}), empty<A>({N, d / 2})};
  for (Index n = 0; n < N; ++n)
    for (Index i = 0; i < d / 2; ++i) {
      const double angle = positions(n) * std::pow(base, -2.0 * double(i) / double(d));
      t.cos(n, i) = A(std::cos(angle)), t.sin(n, i) = A(std::sin(angle));
    }
  return t;
}
/// Positions 0, 1, …, N − 1.
template <class A>
RopeTable<A> rope_table(Index N, Index d, double base = 10000) {
  return rope_table<A>(arange<double>(N), d, base);
}

/// The table on a device.
template <class A>
RopeTable<A> to(const RopeTable<A>& table, Device device) {
  return {to(table.cos, device), to(table.sin, device)};
}

namespace ops {

template <class T, class Pairs>
struct Rope {
  static constexpr std::string_view name = "rope";
  static constexpr Layout layout = Layout::strided;
  static constexpr bool adjacent = std::is_same_v<Pairs, RopeAdjacent>;
  using A = accum_t<T>;

  struct Attrs {};
  struct In { Tensor<T> x; Tensor<A> cos, sin; };    // x [..., N, heads·d]   cos, sin [N, d/2]
  struct Out { Tensor<T> y; };                       // as x
  struct Saved { Tensor<A> cos, sin; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.x.rank() >= 2, name, "x is ", in.x.sizes(), ", [..., N, heads·d] is needed");
    check_shape(in.cos.rank() == 2 && in.cos.sizes() == in.sin.sizes(), name, "cos is ", in.cos.sizes(), ", sin is ", in.sin.sizes(), ": both must be [N, d/2]");
    const Index d = 2 * in.cos.size(1);
    check_shape(in.cos.size(0) == in.x.size(-2) && d > 0 && in.x.size(-1) % d == 0, name, "the table is ", in.cos.sizes(), " for positions and pairs, x is ", in.x.sizes());
    out = {like(in.x)};
    saved = {in.cos, in.sin};
  }

  struct Turn {  // heads of one row; the tables' rows as `expanded` makes them
    template <int B>
    FRAMEGRAD_INLINE static void run(Index heads, Index d, const T* x, const A* c, const A* s, T* y) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      for (Index h = 0; h < heads; ++h, x += d, y += d) {
        if constexpr (adjacent) {
          cpu::each<V>(d, [&](const L& l) FRAMEGRAD_LAMBDA {
            const V v = l.load(x);
            l.store(y, v * l.load(c) + neighbours(v, std::make_integer_sequence<int, V::lanes>{}) * l.load(s));
          });
        } else {
          const Index half = d / 2;
          cpu::each<V>(half, [&](const L& l) FRAMEGRAD_LAMBDA {
            const V a = l.load(x), b = l.load(x + half), cosine = l.load(c), sine = l.load(s);
            l.store(y, a * cosine - b * sine);
            l.store(y + half, b * cosine + a * sine);
          });
        }
      }
    }
    template <class V, int... I>
    FRAMEGRAD_INLINE static V neighbours(const V& x, std::integer_sequence<int, I...>) {
      return V::of(__builtin_shufflevector(x.v, x.v, (I ^ 1)...));
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) { turn(in.x, in.cos, in.sin, 1, out.y); }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) { turn(g.y, saved.cos, saved.sin, -1, d.x); }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> { turn_there(in.x, in.cos, in.sin, 1, out.y); }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> { turn_there(g.y, saved.cos, saved.sin, -1, d.x); }

 private:
  // The last axis of x and y lies in one piece.
  static void turn(const Tensor<T>& x, const Tensor<A>& cos, const Tensor<A>& sin, int direction, const Tensor<T>& y) {
    const auto [rows, C] = collapse_to_rows(x);
    const Index N = x.size(-2), d = 2 * cos.size(1), width = adjacent ? d : d / 2;
    if (rows == 0 || C == 0) return;
    const std::vector<A> c = expanded(cos, 1, 1), s = expanded(sin, adjacent ? -direction : direction, direction);
    parallel_for(rows, 0.4 * double(C), [&, C = C](Range chunk) {
      for (Index row = chunk.begin; row < chunk.end; ++row)
        cpu::dispatch<Turn>(C / d, d, static_cast<const T*>(x.data() + row_offset(x, row)), c.data() + row % N * width, s.data() + row % N * width,
                            y.data() + row_offset(y, row));
    });
  }
  static void turn_there(const Tensor<T>& x, const Tensor<A>& cos, const Tensor<A>& sin, int direction, const Tensor<T>& y) requires OnDevice<T> {
    cuda::Walk<2> rows;
    for (int a = 0; a + 1 < x.rank(); ++a) rows.push(x.sizes()[a], {x.strides()[a], y.strides()[a]});
    cuda::RopeKernels<T>::turn(rows, x.size(-1), 2 * cos.size(1), adjacent, float(direction), x.data(), {cos.data(), cos.stride(0), cos.stride(1)}, {sin.data(), sin.stride(0), sin.stride(1)},
                               y.data());
  }
  /// Row-major; for adjacent pairs a number for each feature, those at even and odd places times a sign of their own.
  static std::vector<A> expanded(const Tensor<A>& table, int even, int odd) {
    const Index n = table.size(0), pairs = table.size(1), copies = adjacent ? 2 : 1;
    std::vector<A> v(std::size_t(n * pairs * copies));
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < pairs; ++j)
        for (Index k = 0; k < copies; ++k)
          v[std::size_t((i * pairs + j) * copies + k)] = table.data()[i * table.stride(0) + j * table.stride(1)] * A(k == 0 ? even : odd);
    return v;
  }
  static Index row_offset(const Tensor<T>& t, Index row) {
    Index at = 0;
    for (int a = t.rank() - 2; a >= 0; --a) at += row % t.sizes()[a] * t.strides()[a], row /= t.sizes()[a];
    return at;
  }
};

}  // namespace ops

/// x [..., N, heads·d], table for N positions and d/2 pairs → [..., N, heads·d]. Throws ShapeError, and GradError if the table is a variable.
/// On a GPU a table of the host's is copied there in each call: keep one made by to(table, device).
template <class Pairs, class T, int R>
Tensor<T, R> rope(const Tensor<T, R>& x, const RopeTable<accum_t<T>>& table) {
  check<GradError>(!table.cos.requires_grad() && !table.sin.requires_grad(), "rope", "a table has no gradient");
  const RopeTable<accum_t<T>> t = x.device().kind == Device::Kind::cuda ? to(table, x.device()) : table;
  return apply<ops::Rope<T, Pairs>>({}, {x.stride(-1) == 1 ? x : contiguous(x), t.cos, t.sin});
}

}  // namespace fg::inline FRAMEGRAD_ABI
