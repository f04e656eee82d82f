// rearrange — axes permuted, split and joined by a pattern: rearrange<"b t s d -> (b t) s d">(x).
//
// Splitting and permuting give a view. Joining axes does too where they lie next to one another in memory; else the
// elements are copied once.
#pragma once

#include <framegrad/core/einops.hpp>
#include <framegrad/ops/contiguous.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

/// x seen with one axis for each name of `side`, in the order of `names`; absent names are not allowed.
inline AnyTensor by_names(const AnyTensor& x, const Pattern& p, const PatternSide& side, const Index* known, const int* names, int count) {
  Geometry g;
  g.offset = x.geometry().offset;
  Index stride_of[Pattern::kMaxNames]{};
  for (int a = 0; a < side.rank; ++a) {
    Index stride = x.strides()[a];
    for (int i = side.parts[a] - 1; i >= 0; --i) {
      stride_of[side.names[a][i]] = stride;
      stride *= known[side.names[a][i]];
    }
  }
  for (int i = 0; i < count; ++i) {
    check_shape(p.has(side, names[i]), "rearrange", "the name ", p.names[names[i]], " stands on one side only");
    g.sizes.push_back(known[names[i]]), g.strides.push_back(stride_of[names[i]]);
  }
  return x.viewed(g);
}

/// Axes joined as `side` says: x has one axis for each of its names, in order.
inline AnyTensor join_axes(AnyTensor x, const PatternSide& side) {
  for (int attempt = 0;; ++attempt) {
    Geometry g;
    g.offset = x.geometry().offset;
    bool joins = true;
    int from = 0;
    for (int a = 0; a < side.rank; ++a) {
      Index size = 1, stride = 1;
      bool first = true;
      for (int i = 0; i < side.parts[a]; ++i, ++from) {
        const Index n = x.sizes()[from], s = x.strides()[from];
        if (n != 1) {
          if (!first && stride != n * s) joins = false;
          stride = s, first = false;
        }
        size *= n;
      }
      g.sizes.push_back(size), g.strides.push_back(stride);
    }
    if (joins || attempt == 1) {
      for (int a = side.rank - 1; a >= 0; --a)  // an axis of size 1 gets the stride that row-major order would give it
        if (g.sizes[a] == 1) g.strides[a] = a + 1 < side.rank ? g.sizes[a + 1] * g.strides[a + 1] : 1;
      return x.viewed(g);
    }
    x = contiguous_any(x);
  }
}

}  // namespace detail

/// x, as the pattern says. Sizes that can't be told from x are given by axis<"name">(n). Throws ShapeError.
template <FixedString S, class T, int R, FixedString... Names>
auto rearrange(const Tensor<T, R>& x, AxisSize<Names>... given) {
  static constexpr const Pattern& p = pattern_of<S>;
  static_assert(p.side_count == 2 && p.sides[0].rank == R, "the pattern's left side has another rank than x");
  static_assert(p.same_names(p.sides[0], p.result()), "a name stands on one side only");
  static_assert((true && ... && (p.find(Names.view()) >= 0)), "a size is given for a name that the pattern doesn't have");
  Index known[Pattern::kMaxNames];
  std::fill_n(known, Pattern::kMaxNames, Index(-1));
  ((known[p.find(Names.view())] = given.size), ...);
  resolve_sizes(p, p.sides[0], x.sizes(), known, "rearrange");
  int order[Pattern::kMaxNames], count = 0;
  for (int a = 0; a < p.result().rank; ++a)
    for (int i = 0; i < p.result().parts[a]; ++i) order[count++] = p.result().names[a][i];
  return Tensor<T, p.result().rank>(detail::join_axes(detail::by_names(x, p, p.sides[0], known, order, count), p.result()));
}

}  // namespace fg::inline FRAMEGRAD_ABI
