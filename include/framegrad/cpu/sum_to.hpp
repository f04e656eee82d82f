// sum_to — sums a tensor down to a shape that broadcasts to it: the gradient of a broadcast operand.
//
// Axes are merged in src's order of memory. If the innermost one is kept, rows are added into a row of sums; if it is
// summed, each row is summed first. Long sums go in chunks of a fixed number of rows, added in order: the result does
// not depend on the number of threads.
#pragma once

#include <vector>

#include <framegrad/cpu/pointwise.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// acc[j] += src[j]
struct AddRow {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(A* acc, const T* const* rows, Index count, Index n) {
    using V = Vec<A, B>;
    using L = Lanes<V>;
    Index r = 0;
    for (; r + 4 <= count; r += 4) {  // four rows a pass: acc is read and written a quarter as often
      const T *p = rows[r], *q = rows[r + 1], *s = rows[r + 2], *t = rows[r + 3];
      each<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(acc, (((l.load(acc) + l.load(p)) + l.load(q)) + l.load(s)) + l.load(t)); });
    }
    for (; r < count; ++r) {
      const T* p = rows[r];
      each<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(acc, l.load(acc) + l.load(p)); });
    }
  }
};

struct SumRow {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(A* out, const T* x, Index n) {
    using V = Vec<A, B>;
    *out += sum<V>(n, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { return l.load(x); });
  }
};

/// dst ← Σ src over the axes where dst_strides is 0; dst_strides are over src's sizes.
template <class T, class D>
void sum_to(const T* src, const Geometry& src_geometry, D* dst, const Strides& dst_strides) {
  using A = accum_t<T>;
  const auto m = merge_axes<2>(src_geometry, {dst_strides});
  const int inner = m.sizes.rank() - 1;
  const Index n = m.sizes[inner];
  const bool keeps_inner = m.strides[1][inner] != 0;
  Shape kept, summed;                       // the other axes
  Strides kept_src, kept_dst, summed_src;
  for (int a = 0; a < inner; ++a) {
    if (m.strides[1][a] != 0) kept.push_back(m.sizes[a]), kept_src.push_back(m.strides[0][a]), kept_dst.push_back(m.strides[1][a]);
    else summed.push_back(m.sizes[a]), summed_src.push_back(m.strides[0][a]);
  }
  const Index outer = kept.count(), rows = summed.count(), width = keeps_inner ? n : 1;
  if (src_geometry.count() == 0) return;
  const auto offset = [](Index i, const Shape& sizes, const Strides& strides) {
    Index at = 0;
    for (int a = sizes.rank() - 1; a >= 0; --a) at += i % sizes[a] * strides[a], i /= sizes[a];
    return at;
  };
  const Index chunk = std::max<Index>(16, 16384 / std::max<Index>(n, 1));  // rows: fixed by the size
  const Index chunks = (rows + chunk - 1) / chunk;
  std::vector<A> partial(std::size_t(outer * chunks * width), A(0));
  parallel_for(outer * chunks, 0.3 * double(std::min(chunk, rows) * n), [&](Range r) {
    std::vector<const T*> row(std::size_t(std::min(chunk, rows)));
    for (Index i = r.begin; i < r.end; ++i) {
      const Index begin = i % chunks * chunk, end = std::min(rows, begin + chunk);
      const T* base = src + offset(i / chunks, kept, kept_src);
      for (Index j = begin; j < end; ++j) row[std::size_t(j - begin)] = base + offset(j, summed, summed_src);
      A* acc = partial.data() + i * width;
      if (m.strides[0][inner] != 1 && n > 1) {  // the source itself steps: rare, one by one
        for (Index j = 0; j < end - begin; ++j)
          for (Index k = 0; k < n; ++k) acc[keeps_inner ? k : 0] += A(row[std::size_t(j)][k * m.strides[0][inner]]);
      } else if (keeps_inner) {
        dispatch<AddRow>(acc, static_cast<const T* const*>(row.data()), end - begin, n);
      } else {
        for (Index j = 0; j < end - begin; ++j) dispatch<SumRow>(acc, row[std::size_t(j)], n);
      }
    }
  });
  for (Index k = 0; k < outer; ++k) {
    A* first = partial.data() + k * chunks * width;
    for (Index c = 1; c < chunks; ++c)
      for (Index j = 0; j < width; ++j) first[j] += first[c * width + j];
    D* to = dst + offset(k, kept, kept_dst);
    for (Index j = 0; j < width; ++j) to[keeps_inner ? j * m.strides[1][inner] : 0] = D(first[j]);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
