// max, min, argmax and argmin over any axes.
//
// The gradient goes to the first extreme element, in logical order. A NaN counts as the extreme, as in PyTorch. An index is one
// into the reduced axes, flattened in their order.
#pragma once

#include <framegrad/cuda/reduce.hpp>
#include <framegrad/ops/reduction.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

/// Over the last axes, `reduced` of them. Smallest: min instead of max.
template <class T, bool Smallest>
struct Extreme {
  static constexpr std::string_view name = Smallest ? "min" : "max";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs { int reduced; };
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; Tensor<std::int64_t> index; };
  struct Saved { Tensor<std::int64_t> index; };

  static void infer(const Attrs& a, const In& in, Out& out, Saved&) {
    Shape sizes;
    for (int i = 0; i < in.x.rank() - a.reduced; ++i) sizes.push_back(in.x.sizes()[i]);
    check_shape(in.x.count() > 0 || sizes.count() == 0, name, "x is ", in.x.sizes(), ": nothing to take the ", name, " of");
    out = {of_shape<T>(sizes), of_shape<std::int64_t>(sizes)};
  }
  static void keep(const Out& out, Saved& saved) { saved.index = out.index; }

  struct Rows {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* x, T* y, std::int64_t* index) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      constexpr Index kPiece = 256;  // looked through one by one, once it is known to hold the extreme
      for (Index row = rows.begin; row < rows.end; ++row) {
        const T* xr = x + row * C;
        A best = 0;
        Index piece = -1;
        bool nan = false;
        for (Index i = 0; i < C && !nan; i += kPiece) {
          const T* xp = xr + i;
          const Index n = std::min(kPiece, C - i);
          A top = cpu::max<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { return Smallest ? -l.load(xp) : l.load(xp); });
          if constexpr (std::is_floating_point_v<A>) {
            nan = cpu::sum<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA {
              const V v = l.load(xp);
              return select(v == v, V(0), V(1));
            }) != 0;
          }
          if (Smallest) top = -top;
          if (piece < 0 || nan || (Smallest ? top < best : top > best)) best = top, piece = i;
        }
        Index i = piece;
        if (nan) {
          while (A(xr[i]) == A(xr[i])) ++i;
        } else {
          while (A(xr[i]) != best) ++i;
        }
        y[row] = xr[i], index[row] = i;
      }
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Index rows = out.y.count(), C = rows ? in.x.count() / rows : 0;
    parallel_for(rows, 0.3 * double(C) + 20, [&](Range chunk) { cpu::dispatch<Rows>(chunk, C, in.x.data(), out.y.data(), out.index.data()); });
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Index rows = saved.index.count(), C = rows ? d.x.count() / rows : 0;
    std::memset(static_cast<void*>(d.x.data()), 0, std::size_t(d.x.bytes()));
    for (Index row = 0; row < rows; ++row) d.x.data()[row * C + saved.index.data()[row]] = g.y.data()[row];
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    const Index rows = out.y.count(), C = rows ? in.x.count() / rows : 0;
    cuda::ExtremeKernels<T>::value(rows, C, Smallest, in.x.data(), out.y.data(), out.index.data());
    if (saved) saved->index = out.index;
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const Index rows = saved.index.count(), C = rows ? d.x.count() / rows : 0;
    cuda::ExtremeKernels<T>::slope(rows, C, g.y.data(), saved.index.data(), d.x.data());
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {
/// Over the axes of L: first the view in which they are the last ones.
template <bool Smallest, class L, class T, int R>
auto extreme(const Tensor<T, R>& x) {
  std::array<int, kMaxRank> order{};
  int n = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (int i = 0; i < R; ++i)
      if (L::axes.has(i) == (pass == 1)) order[std::size_t(n++)] = i;
  return apply<ops::Extreme<T, Smallest>>({.reduced = L::reduced}, {Tensor<T>(x.permute(order))});
}
template <class L, int R>
AnyTensor with_kept_axes(AnyTensor y) {
  if constexpr (L::keep)
    for (int i = 0; i < R; ++i)
      if (L::axes.has(i)) y = y.unsqueeze(i);
  return y;
}
}  // namespace detail

/// x [...] → the largest over the named axes, or over all: max(x), max<-1>(x), max<keepdim, 0>(x).
template <auto... Axes, class T, int R>
auto max(const Tensor<T, R>& x) {
  using L = detail::AxisList<R, Axes...>;
  return Tensor<T, L::rank>(detail::with_kept_axes<L, R>(detail::extreme<false, L>(x).y));
}
/// x [...] → the smallest.
template <auto... Axes, class T, int R>
auto min(const Tensor<T, R>& x) {
  using L = detail::AxisList<R, Axes...>;
  return Tensor<T, L::rank>(detail::with_kept_axes<L, R>(detail::extreme<true, L>(x).y));
}
/// x [...] → where the largest is: the index into the named axes, flattened.
template <auto... Axes, class T, int R>
auto argmax(const Tensor<T, R>& x) {
  using L = detail::AxisList<R, Axes...>;
  return Tensor<std::int64_t, L::rank>(detail::with_kept_axes<L, R>(detail::extreme<false, L>(x.detach()).index));
}
/// x [...] → where the smallest is.
template <auto... Axes, class T, int R>
auto argmin(const Tensor<T, R>& x) {
  using L = detail::AxisList<R, Axes...>;
  return Tensor<std::int64_t, L::rank>(detail::with_kept_axes<L, R>(detail::extreme<true, L>(x.detach()).index));
}

}  // namespace fg::inline FRAMEGRAD_ABI
