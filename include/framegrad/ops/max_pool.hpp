// max_pool — the largest cell of a sliding window; padding is never the largest.
//
//   y[p] = max_k x[stride·p + k − padding]
//
// Gradient: dy[p] goes to the first cell of the window that reached the maximum. A NaN in a window is its maximum.
// Which cell won is kept as the cell's number in the window, one a row and channel; the gradient is gathered, cell by
// cell, from the windows that the cell is in.
#pragma once

#include <framegrad/ops/avg_pool.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct MaxPool {
  static constexpr std::string_view name = "max_pool";
  static constexpr Layout layout = Layout::channels_last;
  using A = accum_t<T>;

  struct Attrs { Window window; };
  struct In { Tensor<T> x; };                       // [N, C, (D), (H), W]
  struct Out { Tensor<T> y; };
  struct Saved { Tensor<std::int32_t> winner; };    // like y: the cell's number in its window

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    const Shape sizes = windowed(in.x, in.x.size(1), a.window, name);
    for (const WindowAxis& w : a.window)
      check_shape(2 * w.padding.before <= w.kernel && 2 * w.padding.after <= w.kernel, name, "padding ", w.padding.before, " and ", w.padding.after,
                  " of a window of ", w.kernel, ": at most half of it");
    const Strides strides = detail::channels_last(sizes);
    out = {Tensor<T>(AnyTensor::described(dtype_of<T>, sizes, strides))};
    saved = {Tensor<std::int32_t>(AnyTensor::described(Dtype::i32, sizes, strides))};
  }

  struct Largest {  // of the rows at x[i], with their numbers
    template <int B>
    FRAMEGRAD_INLINE static void run(const T* const* x, const A* number, Index count, Index C, T* y, std::int32_t* winner) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
        V best = l.load(x[0]), at(number[0]);
        for (Index i = 1; i < count; ++i) {
          const V v = l.load(x[i]);
          const auto wins = (v > best) | ((v != v) & (best == best));
          best = select(wins, v, best), at = select(wins, V(number[i]), at);
        }
        l.store(y, best);
        if (winner) l.store(winner, at);
      });
    }
  };
  struct Collect {  // Σ dy of the windows in which this cell, numbered number[i], won
    template <int B>
    FRAMEGRAD_INLINE static void run(const T* const* dy, const std::int32_t* const* winner, const A* number, Index count, Index C, T* dx) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA {
        V sum(A(0));
        for (Index i = 0; i < count; ++i) sum += select(l.load(winner[i]) == V(number[i]), l.load(dy[i]), V(A(0)));
        l.store(dx, sum);
      });
    }
  };

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    const Walk walk(a.window, in.x, out.y, false);
    const Index C = in.x.size(1);
    parallel_for(walk.positions(), double(C), [&](Range r) {
      std::vector<const T*> rows;
      std::vector<A> number;
      for (Index p = r.begin; p < r.end; ++p) {
        rows.clear(), number.clear();
        walk.at(p, [&](Index row, Index cell) { rows.push_back(in.x.data() + row * C), number.push_back(A(cell)); });
        cpu::dispatch<Largest>(static_cast<const T* const*>(rows.data()), static_cast<const A*>(number.data()), Index(rows.size()), C, out.y.data() + p * C,
                               saved ? saved->winner.data() + p * C : nullptr);
      }
    });
  }

  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const Walk walk(a.window, d.x, g.y, true);
    const Index C = d.x.size(1);
    parallel_for(walk.positions(), double(C), [&](Range r) {
      std::vector<const T*> rows;
      std::vector<const std::int32_t*> winner;
      std::vector<A> number;
      for (Index p = r.begin; p < r.end; ++p) {
        rows.clear(), winner.clear(), number.clear();
        walk.at(p, [&](Index row, Index cell) {
          rows.push_back(g.y.data() + row * C), winner.push_back(saved.winner.data() + row * C), number.push_back(A(cell));
        });
        cpu::dispatch<Collect>(static_cast<const T* const*>(rows.data()), static_cast<const std::int32_t* const*>(winner.data()),
                               static_cast<const A*>(number.data()), Index(rows.size()), C, d.x.data() + p * C);
      }
    });
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    const auto axes = on_gpu(a, in.x, out.y);
    cuda::MaxPoolKernels<T>::value(in.x.size(0), in.x.size(1), axes[0], axes[1], axes[2], in.x.data(), out.y.data(), saved ? saved->winner.data() : nullptr);
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    const auto axes = on_gpu(a, d.x, g.y);
    cuda::MaxPoolKernels<T>::slope(d.x.size(0), d.x.size(1), axes[0], axes[1], axes[2], g.y.data(), saved.winner.data(), d.x.data());
  }

 private:
  static std::array<cuda::PoolAxis, 3> on_gpu(const Attrs& a, const AnyTensor& x, const AnyTensor& y) {
    const auto from = volume_of(x), to = volume_of(y);
    std::array<cuda::PoolAxis, 3> axes;
    for (std::size_t i = 0; i < 3; ++i) axes[i] = MeanRule::cuda_axis(a.window[i], from[i], to[i]);
    return axes;
  }

  // Which rows meet: for a window its cells, or (backward) for a cell its windows; with the cell's number in the window.
  struct Walk {
    std::array<cpu::AxisTaps, 3> axes;  // weight: the cell's index along the axis
    std::array<Index, 3> kernel{};
    Index images;

    Walk(const Window& window, const AnyTensor& x, const AnyTensor& y, bool backward) : images(x.size(0)) {
      const auto from = volume_of(x), to = volume_of(y);
      for (std::size_t i = 0; i < 3; ++i) {
        const WindowAxis& w = window[i];
        kernel[i] = w.kernel;
        axes[i].sources = from[i];
        for (Index p = 0; p < to[i]; ++p, axes[i].end_target())
          for (Index k = 0; k < w.kernel; ++k) {
            const Index at = p * w.stride + k - w.padding.before;
            if (at >= 0 && at < from[i]) axes[i].add(at, double(k));
          }
        if (backward) axes[i] = axes[i].transposed();
      }
    }
    Index positions() const { return images * axes[0].targets() * axes[1].targets() * axes[2].targets(); }

    template <class F>
    void at(Index p, F&& f) const {
      const auto& [D, H, W] = axes;
      const auto w = std::size_t(p % W.targets()), h = std::size_t(p / W.targets() % H.targets()), d = std::size_t(p / (W.targets() * H.targets()) % D.targets());
      const Index n = p / (W.targets() * H.targets() * D.targets());
      for (auto i = std::size_t(D.begin[d]); i < std::size_t(D.begin[d + 1]); ++i)
        for (auto j = std::size_t(H.begin[h]); j < std::size_t(H.begin[h + 1]); ++j)
          for (auto k = std::size_t(W.begin[w]); k < std::size_t(W.begin[w + 1]); ++k)
            f(((n * D.sources + D.index[i]) * H.sources + H.index[j]) * W.sources + W.index[k],
              (Index(D.weight[i]) * kernel[1] + Index(H.weight[j])) * kernel[2] + Index(W.weight[k]));
    }
  };
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [N, C, …] → [N, C, windows…]. Throws ShapeError if a window does not fit, or padding is more than half of it.
template <class T, int R>
Tensor<T, R> max_pool(const Tensor<T, R>& x, const PerAxis<Index, R - 2>& kernel, const PoolOptions<R - 2>& options = {}) {
  static_assert(R >= 3 && R <= 5, "x is [N, C, (D), (H), W]");
  return apply<ops::MaxPool<T>>({detail::pool_window<R - 2>(kernel, options)}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
