// einsum — products of tensors summed over the axes that a pattern's result leaves out:
//
//   einsum<"b h q d, b h k d -> b h q k">(a, b)        einsum<"i i2 -> i2 i">(a)
//
// Of two operands, axes that stand in one of them alone and not in the result are summed first. What is left is a product of matrices
// [batch, m, k]·[batch, k, n] over permuted views, or without an axis to sum over, an element-wise product. Gradients come from these parts.
#pragma once

#include <framegrad/ops/matmul.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/reduce.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

/// A side whose axes are the names of `single`, one each, then one axis for each of the groups.
constexpr PatternSide grouped(const NameList& single, std::initializer_list<NameList> groups) {
  PatternSide side;
  for (int i = 0; i < single.count; ++i) side.parts[side.rank] = 1, side.names[side.rank++][0] = single.names[i];
  for (const NameList& g : groups) {
    for (int i = 0; i < g.count; ++i) side.names[side.rank][i] = g.names[i];
    side.parts[side.rank++] = g.count;
  }
  return side;
}

/// x with one axis for each name of `order`, summed over the other names of its side.
template <class T>
AnyTensor summed_to(const AnyTensor& x, const Pattern& p, const PatternSide& side, const Index* known, const NameList& order) {
  NameList all = order;
  const NameList own = names_of(side);
  for (int i = 0; i < own.count; ++i)
    if (std::find(order.names, order.names + order.count, own.names[i]) == order.names + order.count) all.add(own.names[i]);
  return reduce_last<Sum, T>(by_names(x, p, side, known, all.names, all.count), all.count - order.count);
}

}  // namespace detail

/// a → the axes of the result; those that it leaves out are summed. Throws ShapeError.
template <FixedString S, class T, int R, FixedString... Names>
auto einsum(const Tensor<T, R>& a, AxisSize<Names>... given) {
  return reduce<S, Sum>(a, given...);
}

/// a, b → Σ a·b over the axes that the result leaves out. Sizes that can't be told from a and b are given by axis<"name">(n). Throws ShapeError.
template <FixedString S, class T, int Ra, int Rb, FixedString... Names>
auto einsum(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b, AxisSize<Names>... given) {
  using detail::NameList, detail::shared_names, detail::joined;
  static constexpr const Pattern& p = pattern_of<S>;
  static_assert(p.side_count == 3, "a pattern of einsum is two sides, divided by a comma, an arrow and the result");
  static_assert(p.sides[0].rank == Ra, "the pattern's first side has another rank than a");
  static_assert(p.sides[1].rank == Rb, "the pattern's second side has another rank than b");
  static constexpr NameList in_a = detail::names_of(p.sides[0]), in_b = detail::names_of(p.sides[1]), result = detail::names_of(p.result());
  static constexpr NameList both = shared_names(p, in_a, p.sides[1]);
  static constexpr NameList batch = shared_names(p, both, p.result()), k = shared_names(p, both, p.result(), false);
  static constexpr NameList m = shared_names(p, shared_names(p, in_a, p.sides[1], false), p.result());
  static constexpr NameList n = shared_names(p, shared_names(p, in_b, p.sides[0], false), p.result());
  static_assert(batch.count + m.count + n.count == result.count, "a name stands in the result only");
  static_assert(in_a.count <= kMaxRank && in_b.count <= kMaxRank && result.count <= kMaxRank, "a side of einsum's pattern has more than eight names");
  static_assert((true && ... && (p.find(Names.view()) >= 0)), "a size is given for a name that the pattern doesn't have");

  Index known[Pattern::kMaxNames];
  std::fill_n(known, Pattern::kMaxNames, Index(-1));
  ((known[p.find(Names.view())] = given.size), ...);
  resolve_sizes(p, p.sides[0], a.sizes(), known, "einsum");
  resolve_sizes(p, p.sides[1], b.sizes(), known, "einsum");

  static constexpr NameList product = joined(joined(batch, m), n);  // the names of y's axes, before they are put in the result's order
  AnyTensor y;
  if constexpr (k.count == 0) {
    static constexpr NameList left = joined(batch, m), right = joined(batch, n);
    AnyTensor x = detail::summed_to<T>(a, p, p.sides[0], known, left);
    AnyTensor w = detail::summed_to<T>(b, p, p.sides[1], known, right);
    for (int i = 0; i < n.count; ++i) x = x.unsqueeze(-1);
    for (int i = 0; i < m.count; ++i) w = w.unsqueeze(batch.count);
    y = apply<ops::Binary<T, formula::Mul>>({}, {Tensor<T>(x), Tensor<T>(w)});
  } else {
    static_assert(batch.count + 2 <= kMaxRank, "more than six axes of einsum's pattern stand on all sides");
    static constexpr NameList left = joined(joined(batch, m), k), right = joined(joined(batch, k), n);
    static constexpr PatternSide left_matrix = detail::grouped(batch, {m, k}), right_matrix = detail::grouped(batch, {k, n});
    const AnyTensor x = detail::join_axes(detail::summed_to<T>(a, p, p.sides[0], known, left), left_matrix);
    const AnyTensor w = detail::join_axes(detail::summed_to<T>(b, p, p.sides[1], known, right), right_matrix);
    y = apply<ops::Matmul<T>>({}, {Tensor<T>(x), Tensor<T>(w)});
    static constexpr PatternSide matrix = detail::grouped(batch, {m, n});
    y = detail::by_names(y, p, matrix, known, product.names, product.count);
  }
  static constexpr PatternSide apart = detail::grouped(product, {});
  return Tensor<T, p.result().rank>(detail::join_axes(detail::by_names(y, p, apart, known, result.names, result.count), p.result()));
}

}  // namespace fg::inline FRAMEGRAD_ABI
