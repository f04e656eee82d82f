// reduce — sums, means or extremes over the axes that a pattern's right side leaves out: reduce<"b t s d -> b d", Mean>(x).
#pragma once

#include <framegrad/ops/max.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/sum.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// What reduce does with the axes that go.
struct Sum {};
struct Mean {};
struct Max {};
struct Min {};

namespace detail {

/// Some of a pattern's names, in order.
struct NameList {
  int names[Pattern::kMaxNames]{};
  int count = 0;
  constexpr void add(int name) { names[count++] = name; }
};
/// Those that stand on a side, in its order.
constexpr NameList names_of(const PatternSide& side) {
  NameList list;
  for (int a = 0; a < side.rank; ++a)
    for (int i = 0; i < side.parts[a]; ++i) list.add(side.names[a][i]);
  return list;
}
/// Those of `from` that stand (or don't) on another side as well.
constexpr NameList shared_names(const Pattern& p, const NameList& from, const PatternSide& other, bool shared = true) {
  NameList list;
  for (int i = 0; i < from.count; ++i)
    if (p.has(other, from.names[i]) == shared) list.add(from.names[i]);
  return list;
}
constexpr NameList joined(NameList a, const NameList& b) {
  for (int i = 0; i < b.count; ++i) a.add(b.names[i]);
  return a;
}

/// x [..., the last n axes] → what `How` makes of these, without them.
template <class How, class T>
AnyTensor reduce_last(const AnyTensor& x, int n) {
  const Tensor<T> typed(x);
  if (n == 0) return x;
  if constexpr (std::is_same_v<How, Sum> || std::is_same_v<How, Mean>) {
    using A = accum_t<T>;
    Index terms = 1;
    for (int i = 1; i <= n; ++i) terms *= x.size(-i);
    const ReducedAxes axes{((1u << n) - 1) << (x.rank() - n), false};
    return apply<ops::Sum<T>>({.axes = axes, .scale = std::is_same_v<How, Mean> ? A(1) / A(terms) : A(1)}, {typed});
  } else {
    static_assert(std::is_same_v<How, Max> || std::is_same_v<How, Min>, "reduce takes Sum, Mean, Max or Min");
    return apply<ops::Extreme<T, std::is_same_v<How, Min>>>({.reduced = n}, {typed}).y;
  }
}

}  // namespace detail

/// x → the axes of the pattern's right side; those that it leaves out are reduced. Sizes that can't be told from x are given by
/// axis<"name">(n). Throws ShapeError.
template <FixedString S, class How, class T, int R, FixedString... Names>
auto reduce(const Tensor<T, R>& x, AxisSize<Names>... given) {
  static constexpr const Pattern& p = pattern_of<S>;
  static_assert(p.side_count == 2 && p.sides[0].rank == R, "the pattern's left side has another rank than x");
  static constexpr detail::NameList left = detail::names_of(p.sides[0]), kept = detail::names_of(p.result());
  static_assert(detail::shared_names(p, kept, p.sides[0]).count == kept.count, "a name stands on the right side only");
  static_assert(left.count <= kMaxRank, "a pattern of reduce has more than eight names");
  static_assert((true && ... && (p.find(Names.view()) >= 0)), "a size is given for a name that the pattern doesn't have");
  Index known[Pattern::kMaxNames];
  std::fill_n(known, Pattern::kMaxNames, Index(-1));
  ((known[p.find(Names.view())] = given.size), ...);
  resolve_sizes(p, p.sides[0], x.sizes(), known, "reduce");
  static constexpr detail::NameList order = detail::joined(kept, detail::shared_names(p, left, p.result(), false));
  const AnyTensor by_name = detail::by_names(x, p, p.sides[0], known, order.names, order.count);
  return Tensor<T, p.result().rank>(detail::join_axes(detail::reduce_last<How, T>(by_name, order.count - kept.count), p.result()));
}

}  // namespace fg::inline FRAMEGRAD_ABI
