// Rows of a layer norm, forward and backward, with a gain and a bias that may be absent.
//
//   x̂ = (x − μ)·r     y = x̂·gain + bias
//   h = g·gain         ∂x = r·(h − mean(h) − x̂·mean(h·x̂))     ∂gain = Σ g·x̂     ∂bias = Σ g
//
// A row stays in L1 over its passes, so memory sees x and y once forward, and x, g and ∂x once backward.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/core/storage.hpp>
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/math.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

struct LayerNormForward {
  template <int B, class T, class A = accum_t<T>>
  FRAMEGRAD_INLINE static void run(Range rows, Index C, A eps, const T* x, const A* gain, const A* bias, T* y, A* mean, A* rstd) {
    using V = Vec<A, B>;
    using L = Lanes<V>;
    for (Index row = rows.begin; row < rows.end; ++row) {
      const T* xr = x + row * C;
      T* yr = y + row * C;
      const A mu = sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(xr); }) / A(C);
      const A var = sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {  // about the mean: Σx² − (Σx)²/C cancels badly
        const V d = l.load(xr) - mu;
        return d * d;
      }) / A(C);
      const A r = A(1) / sqrt(var + eps);
      if (gain && bias) {
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(yr, (l.load(xr) - mu) * r * l.load(gain) + l.load(bias)); });
      } else if (gain) {
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(yr, (l.load(xr) - mu) * r * l.load(gain)); });
      } else {
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(yr, (l.load(xr) - mu) * r); });
      }
      if (mean) mean[row] = mu, rstd[row] = r;
    }
  }
};

struct LayerNormBackward {
  /// dx may be null; dgain and dbias are added to, and may be null. gain may be null (then it is 1).
  template <int B, class T, class A = accum_t<T>>
  FRAMEGRAD_INLINE static void run(Range rows, Index C, const T* x, const A* gain, const T* g, const A* mean, const A* rstd, T* dx, A* dgain, A* dbias) {
    using V = Vec<A, B>;
    using L = Lanes<V>;
    for (Index row = rows.begin; row < rows.end; ++row) {
      const T* xr = x + row * C;
      const T* gr = g + row * C;
      const A mu = mean[row], r = rstd[row];
      if (dgain && dbias) {
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V gv = l.load(gr);
          l.store(dgain, l.load(dgain) + gv * ((l.load(xr) - mu) * r));
          l.store(dbias, l.load(dbias) + gv);
        });
      } else if (dgain) {
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dgain, l.load(dgain) + l.load(gr) * ((l.load(xr) - mu) * r)); });
      } else if (dbias) {
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dbias, l.load(dbias) + l.load(gr)); });
      }
      if (!dx) continue;
      T* dxr = dx + row * C;
      if (gain) {
        const A mean_h = sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(gr) * l.load(gain); }) / A(C);
        const A mean_hx = sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(gr) * l.load(gain) * ((l.load(xr) - mu) * r); }) / A(C);
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dxr, (l.load(gr) * l.load(gain) - mean_h - (l.load(xr) - mu) * r * mean_hx) * r); });
      } else {
        const A mean_h = sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(gr); }) / A(C);
        const A mean_hx = sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(gr) * ((l.load(xr) - mu) * r); }) / A(C);
        each<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dxr, (l.load(gr) - mean_h - (l.load(xr) - mu) * r * mean_hx) * r); });
      }
    }
  }
};

/// Adds rows of sums, `apart` values from one to the next, into the first, in order.
struct AddRows {
  template <int B, class A>
  FRAMEGRAD_INLINE static void run(Range columns, Index rows, Index apart, A* first) {
    using V = Vec<A, B>;
    A* into = first + columns.begin;
    for (Index row = 1; row < rows; ++row) {
      const A* from = into + row * apart;
      each<V>(columns.size(), [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(into, l.load(into) + l.load(from)); });
    }
  }
};

/// Runs f(chunk) over groups·rows in chunks of a fixed number of rows, none across groups, with two rows of sums each; then adds
/// the sums of a group's chunks in order: sum(group, 0 or 1, values [C]).
template <class A, class F, class S>
void rows_with_sums(Index groups, Index rows, Index C, double cost, F&& f, S&& sum) {
  const Index chunk = std::max<Index>(16, 65536 / std::max<Index>(C, 1));  // 256 KiB of f32: much more than its two rows of sums
  const Index chunks = (rows + chunk - 1) / chunk, width = 2 * C;
  const Storage memory(std::max<Index>(groups * chunks, 1) * width * Index(sizeof(A)), kCpu);
  A* sums = static_cast<A*>(memory.data());
  if (chunks == 0) std::fill_n(sums, width, A(0));  // without rows, zeros for all groups
  parallel_for(groups * chunks, cost * double(std::min(chunk, rows) * C), [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i) {
      const Index group = i / chunks, begin = i % chunks * chunk;
      A* s = sums + i * width;
      std::fill_n(s, width, A(0));
      f(group, Range{group * rows + begin, group * rows + std::min(rows, begin + chunk)}, s, s + C);
    }
  });
  for (Index group = 0; group < groups; ++group) {
    A* first = sums + group * chunks * width;
    parallel_for(width, 0.1 * double(chunks), [&](Range columns) { dispatch<AddRows>(columns, chunks, width, first); }, 64);
    sum(group, 0, first), sum(group, 1, first + C);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
