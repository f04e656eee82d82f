// repeat — axes added by a pattern, along which x is repeated: repeat<"b d -> b t d">(x, axis<"t">(16)).
//
// The gradient is summed over them (broadcast_to). A repeated name inside a group repeats elements, or the whole: "d -> (d r)", "d -> (r d)".
#pragma once

#include <framegrad/ops/broadcast_to.hpp>
#include <framegrad/ops/reduce.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x → the axes of the pattern's right side; the size of a name that is new there is given by axis<"name">(n). Throws ShapeError.
template <FixedString S, class T, int R, FixedString... Names>
auto repeat(const Tensor<T, R>& x, AxisSize<Names>... given) {
  static constexpr const Pattern& p = pattern_of<S>;
  static_assert(p.side_count == 2 && p.sides[0].rank == R, "the pattern's left side has another rank than x");
  static constexpr detail::NameList left = detail::names_of(p.sides[0]), right = detail::names_of(p.result());
  static_assert(detail::shared_names(p, left, p.result()).count == left.count, "a name stands on the left side only");
  static_assert(right.count <= kMaxRank, "a pattern of repeat has more than eight names");
  static_assert((true && ... && (p.find(Names.view()) >= 0)), "a size is given for a name that the pattern doesn't have");
  Index known[Pattern::kMaxNames];
  std::fill_n(known, Pattern::kMaxNames, Index(-1));
  ((known[p.find(Names.view())] = given.size), ...);
  resolve_sizes(p, p.sides[0], x.sizes(), known, "repeat");

  static constexpr detail::NameList order = detail::shared_names(p, right, p.sides[0]);
  AnyTensor y = detail::by_names(x, p, p.sides[0], known, order.names, order.count);
  Shape sizes;
  for (int i = 0; i < right.count; ++i) {
    const int name = right.names[i];
    check_shape(known[name] >= 0, "repeat", "the size of ", p.names[name], " is open: give it with axis<>()");
    sizes.push_back(known[name]);
    if (!p.has(p.sides[0], name)) y = y.unsqueeze(i);
  }
  if (right.count > left.count) y = apply<ops::BroadcastTo<T>>({sizes}, {Tensor<T>(y)});
  return Tensor<T, p.result().rank>(detail::join_axes(y, p.result()));
}

}  // namespace fg::inline FRAMEGRAD_ABI
