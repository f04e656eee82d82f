// Walks tensors of any strides element by element, in the output's order of memory, and hands unit-stride runs to a kernel.
//
// Axes that all operands can merge are merged, so dense operands are one run. An operand that a run repeats (a
// broadcast) or steps through is first laid out in a buffer that stays in L1; so a kernel knows one case only.
#pragma once

#include <tuple>

#include <framegrad/cpu/strided.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// Strides of an operand seen with the broadcast sizes `out`: 0 along axes that it repeats.
inline Strides broadcast_strides(const Geometry& g, const Shape& out) {
  Strides s = Shape::filled(out.rank(), 0);
  const int shift = out.rank() - g.rank();
  for (int i = 0; i < g.rank(); ++i) s[i + shift] = g.sizes[i] == 1 ? 0 : g.strides[i];
  return s;
}

/// Sizes and N sets of strides, merged; the first set decides the order.
template <int N>
struct Merged {
  Shape sizes;
  std::array<Strides, N> strides;
};

template <int N>
Merged<N> merge_axes(const Geometry& first, const std::array<Strides, N - 1>& others) {
  Merged<N> m;
  const auto axes = first.order();
  for (int i = 0; i < first.rank(); ++i) {
    const int a = axes[i];
    const Index n = first.sizes[a];
    if (n == 1) continue;
    const int last = m.sizes.rank() - 1;
    bool joins = last >= 0 && m.strides[0][last] == first.strides[a] * n;
    for (int k = 1; k < N && joins; ++k) joins = m.strides[k][last] == others[k - 1][a] * n;
    if (joins) {
      m.sizes[last] *= n;
      m.strides[0][last] = first.strides[a];
      for (int k = 1; k < N; ++k) m.strides[k][last] = others[k - 1][a];
    } else {
      m.sizes.push_back(n);
      m.strides[0].push_back(first.strides[a]);
      for (int k = 1; k < N; ++k) m.strides[k].push_back(others[k - 1][a]);
    }
  }
  if (m.sizes.rank() == 0) {
    m.sizes.push_back(1);
    for (int k = 0; k < N; ++k) m.strides[k].push_back(1);
  }
  return m;
}

/// n elements, `step` apart, as a run: where they lie if they are one, else laid out in `buffer`.
template <class X>
const X* as_run(const X* from, Index step, Index n, X* buffer) {
  if (step == 1 || n == 1) return from;
  if (step == 0) std::fill_n(buffer, n, *from);
  else for (Index j = 0; j < n; ++j) buffer[j] = from[j * step];
  return buffer;
}

namespace detail {
/// n elements of each operand from at[k], step[k] apart, through K; a buffer each for those that don't lie in a run.
template <class K, class Y, class... X, std::size_t... I>
void run_piece(std::index_sequence<I...>, Index n, Y* y, const Index* at, const Index* step, unsigned char* const* buffers, const std::tuple<const X*...>& x) {
  dispatch<K>(n, y, as_run(std::get<I>(x) + at[I], step[I], n, reinterpret_cast<X*>(buffers[I]))...);
}

template <class K, int N, std::size_t kItem, class Y, class Operands>
void walk(Y* y, const Geometry& g, const std::array<Strides, N>& strides, double cost, const Operands& x) {
  if (g.count() == 0) return;
  constexpr Index kPiece = 1024;  // two operands of floats: 8 KiB of buffers
  const auto m = merge_axes<N + 1>(g, strides);
  const int inner = m.sizes.rank() - 1;
  const Index n = m.sizes[inner], runs = m.sizes.count() / n;
  const auto work = [&](Index y_at, std::array<Index, N> at, Index count) {
    alignas(64) unsigned char buffer[N][kPiece * kItem];
    unsigned char* buffers[N];
    Index step[N];
    bool unit = true;
    for (int k = 0; k < N; ++k) {
      buffers[k] = buffer[k], step[k] = m.strides[k + 1][inner];
      unit = unit && (step[k] == 1 || count == 1);
    }
    const Index piece = unit ? count : kPiece;
    for (Index i = 0; i < count; i += piece) {
      const Index len = std::min(piece, count - i);
      Index from[N];
      for (int k = 0; k < N; ++k) from[k] = at[k] + i * step[k];
      detail::run_piece<K>(std::make_index_sequence<N>{}, len, y + y_at + i, from, step, buffers, x);
    }
  };
  if (runs == 1) {
    parallel_for(n, cost, [&](Range r) {
      std::array<Index, N> at{};
      for (int k = 0; k < N; ++k) at[k] = r.begin * m.strides[k + 1][0];
      work(r.begin, at, r.size());
    }, 64);
    return;
  }
  parallel_for(runs, cost * double(n), [&](Range r) {
    for (Index run = r.begin; run < r.end; ++run) {
      Index rest = run, y_at = 0;
      std::array<Index, N> at{};
      for (int a = inner - 1; a >= 0; --a) {
        const Index i = rest % m.sizes[a];
        rest /= m.sizes[a];
        y_at += i * m.strides[0][a];
        for (int k = 0; k < N; ++k) at[k] += i * m.strides[k + 1][a];
      }
      work(y_at, at, n);
    }
  });
}
}  // namespace detail

/// y[i] = K(x[i]…): K::run<B>(n, y, x…) sees unit strides. y dense; operands of any types, with strides over y's sizes.
template <class K, class Y, class... X>
void pointwise(Y* y, const Geometry& g, const std::array<Strides, sizeof...(X)>& strides, double cost, const X*... x) {
  detail::walk<K, int(sizeof...(X)), std::max({sizeof(X)...})>(y, g, strides, cost, std::tuple<const X*...>(x...));
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
