// Rows picked by index, and rows added by index, of [outer, n, inner].
//
// Adding is deterministic: the entries of each destination are listed in order first, and each destination is summed by
// one thread, in accum_t.
#pragma once

#include <vector>

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// Throws ShapeError if an index is not in [0, n).
inline void check_indices(const std::int64_t* index, Index count, Index n, std::string_view name) {
  for (Index i = 0; i < count; ++i) check_shape(index[i] >= 0 && index[i] < n, name, "index ", index[i], " at ", i, ", the axis has ", n);
}

/// For each of n destinations the entries that name it, in order: entry[begin[d] … begin[d + 1]).
struct Destinations {
  std::vector<Index> begin, entry;

  Destinations(const std::int64_t* index, Index count, Index n) : begin(std::size_t(n) + 1, 0), entry(static_cast<std::size_t>(count)) {
    for (Index i = 0; i < count; ++i) ++begin[std::size_t(index[i]) + 1];
    for (std::size_t d = 0; d < std::size_t(n); ++d) begin[d + 1] += begin[d];
    std::vector<Index> next = begin;
    for (Index i = 0; i < count; ++i) entry[std::size_t(next[std::size_t(index[i])]++)] = i;
  }
};

struct AddEntries {  // to[:] = base[:] + Σ from[entry[i]][:]; base may be null
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(T* to, const T* base, const T* from, const Index* entry, Index count, Index inner) {
    using V = Vec<accum_t<T>, B>;
    each<V>(inner, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
      V sum = base ? l.load(base) : V(0);
      for (Index i = 0; i < count; ++i) sum += l.load(from + entry[i] * inner);
      l.store(to, sum);
    });
  }
};

/// y [outer, count, inner] ← x [outer, index, inner]
template <class T>
void pick_rows(const T* x, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  parallel_for(outer * count, 0.2 * double(inner) + 2, [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i) std::copy_n(x + (i / count * n + index[i % count]) * inner, inner, y + i * inner);
  });
}

/// dx [outer, n, inner] ← Σ over the entries that name each row of dy [outer, count, inner]
template <class T>
void add_rows(const T* dy, const Destinations& where, T* dx, Index outer, Index n, Index count, Index inner) {
  const double entries = 1 + double(count) / double(std::max<Index>(n, 1));
  parallel_for(outer * n, entries * (0.2 * double(inner) + 2), [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i) {
      const auto d = std::size_t(i % n);
      dispatch<AddEntries>(dx + i * inner, static_cast<const T*>(nullptr), dy + i / n * count * inner, where.entry.data() + where.begin[d],
                           where.begin[d + 1] - where.begin[d], inner);
    }
  });
}

/// y [outer, count, inner] ← x [outer, index(outer, i, inner), inner]: an index for each element.
template <class T>
void pick_elements(const T* x, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  parallel_for(outer * count, 1.5 * double(inner), [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i)
      for (Index j = 0; j < inner; ++j) y[i * inner + j] = x[(i / count * n + index[i * inner + j]) * inner + j];
  });
}

/// y [outer, n, inner] ← base + src [outer, count, inner] at index(outer, i, inner), in the order of i; base may be null.
/// An outer part, or of a single one a range of `inner`, belongs to one thread.
template <class T>
void add_elements(const T* base, const T* src, const std::int64_t* index, T* y, Index outer, Index n, Index count, Index inner) {
  using A = accum_t<T>;
  parallel_for(outer * inner, 2.0 * double(count) + double(n), [&](Range r) {
    std::vector<A> sum(static_cast<std::size_t>(n));
    for (Index line = r.begin; line < r.end; ++line) {
      const Index o = line / inner, j = line % inner;
      for (Index k = 0; k < n; ++k) sum[std::size_t(k)] = base ? A(base[(o * n + k) * inner + j]) : A(0);
      for (Index i = 0; i < count; ++i) {
        const Index at = (o * count + i) * inner + j;
        sum[std::size_t(index[at])] += A(src[at]);
      }
      for (Index k = 0; k < n; ++k) y[(o * n + k) * inner + j] = T(sum[std::size_t(k)]);
    }
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
