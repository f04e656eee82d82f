// The tensors of a plain struct, one after the other.
//
// An op's In, Out and Saved are aggregates of Tensor, std::optional<Tensor> and std::vector<Tensor>, and so is what a recording takes and gives. for_each_tensor visits
// what they hold, in order, without a list kept by hand: the number of members is found by asking how many initialisers the struct takes.
#pragma once

#include <optional>
#include <vector>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

struct AnyTensorField {
  template <class T, int R> operator Tensor<T, R>() const;
  template <class T, int R> requires(R != kAnyRank) operator std::optional<Tensor<T, R>>() const;  // from Tensor<T, R> it would be ambiguous
};
struct AnyListField {
  template <class T> operator std::vector<T>() const;
};

template <class S, class... Taken>
constexpr int count_fields() {
  if constexpr (requires { S{Taken{}..., AnyTensorField{}}; }) {
    return count_fields<S, Taken..., AnyTensorField>();
  } else if constexpr (requires { S{Taken{}..., AnyListField{}}; }) {
    return count_fields<S, Taken..., AnyListField>();
  } else {
    return sizeof...(Taken);
  }
}

template <class S, class F>
void for_each_field(S& s, F&& f) {
  constexpr int N = count_fields<std::remove_const_t<S>>();
  static_assert(N <= 12, "the struct has more fields than for_each_field knows");
  const auto all = [&](auto&... fields) { (f(fields), ...); };
  if constexpr (N == 1) { auto& [a] = s; all(a); }
  if constexpr (N == 2) { auto& [a, b] = s; all(a, b); }
  if constexpr (N == 3) { auto& [a, b, c] = s; all(a, b, c); }
  if constexpr (N == 4) { auto& [a, b, c, d] = s; all(a, b, c, d); }
  if constexpr (N == 5) { auto& [a, b, c, d, e] = s; all(a, b, c, d, e); }
  if constexpr (N == 6) { auto& [a, b, c, d, e, g] = s; all(a, b, c, d, e, g); }
  if constexpr (N == 7) { auto& [a, b, c, d, e, g, h] = s; all(a, b, c, d, e, g, h); }
  if constexpr (N == 8) { auto& [a, b, c, d, e, g, h, i] = s; all(a, b, c, d, e, g, h, i); }
  if constexpr (N == 9) { auto& [a, b, c, d, e, g, h, i, j] = s; all(a, b, c, d, e, g, h, i, j); }
  if constexpr (N == 10) { auto& [a, b, c, d, e, g, h, i, j, k] = s; all(a, b, c, d, e, g, h, i, j, k); }
  if constexpr (N == 11) { auto& [a, b, c, d, e, g, h, i, j, k, l] = s; all(a, b, c, d, e, g, h, i, j, k, l); }
  if constexpr (N == 12) { auto& [a, b, c, d, e, g, h, i, j, k, l, m] = s; all(a, b, c, d, e, g, h, i, j, k, l, m); }
}

}  // namespace detail

/// A field that is no tensor itself. F: its type as decltype says it.
template <class F> concept OptionalField = requires(std::remove_cvref_t<F>& field) { field.has_value(); };
template <class F> concept ListField = requires(std::remove_cvref_t<F>& field) { field.resize(0); };

/// f(tensor) for every tensor that the struct holds; absent optionals are passed over.
template <class S, class F>
void for_each_tensor(S& s, F&& f) {
  detail::for_each_field(s, [&](auto& field) {
    if constexpr (OptionalField<decltype(field)>) {
      if (field) f(*field);
    } else if constexpr (ListField<decltype(field)>) {
      for (auto& t : field) f(t);
    } else {
      f(field);
    }
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI
