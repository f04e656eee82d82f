#pragma once

#include <tuple>

#include <framegrad/ops/einsum.hpp>

#include "op_case.hpp"

namespace fg::test {

struct EinsumScoresCase {  // two axes on all sides, one summed; b's matrices come transposed
  static constexpr std::string_view name = "einsum_scores";
  template <class T>
  static auto run(Tensor<T, 4> q, Tensor<T, 4> k) { return einsum<"b n h d, b m h d -> b h n m">(q, k); }
  static Tensor<double, 4> reference(Tensor<double, 4> q, Tensor<double, 4> k) {
    const auto y = zeros<double>({q.size(0), q.size(2), q.size(1), k.size(1)});
    for (Index b = 0; b < q.size(0); ++b)
      for (Index h = 0; h < q.size(2); ++h)
        for (Index n = 0; n < q.size(1); ++n)
          for (Index m = 0; m < k.size(1); ++m)
            for (Index d = 0; d < q.size(3); ++d) y(b, h, n, m) += q(b, n, h, d) * k(b, m, h, d);
    return y;
  }
  static inline const Cases correct = {{{2, 3, 2, 5}, {2, 4, 2, 5}}, {{1, 1, 1, 33}, {1, 2, 1, 33}}};
  static inline const Cases reject = {{{2, 3, 2, 5}, {2, 4, 2, 6}}, {{2, 3, 2, 5}, {1, 4, 2, 5}}};
  static inline const Cases threads = {{{2, 64, 4, 32}, {2, 80, 4, 32}}};
};

struct EinsumManyAxesCase {  // two names a side of the matrices, two summed, one that stands in b alone, the result turned around and joined
  static constexpr std::string_view name = "einsum_many_axes";
  template <class T>
  static auto run(Tensor<T, 4> a, Tensor<T, 4> b) { return einsum<"i k j l, l n k z -> (n j) i">(a, b); }
  static Tensor<double, 2> reference(Tensor<double, 4> a, Tensor<double, 4> b) {
    const auto y = zeros<double>({b.size(1) * a.size(2), a.size(0)});
    for (Index i = 0; i < a.size(0); ++i)
      for (Index k = 0; k < a.size(1); ++k)
        for (Index j = 0; j < a.size(2); ++j)
          for (Index l = 0; l < a.size(3); ++l)
            for (Index n = 0; n < b.size(1); ++n)
              for (Index z = 0; z < b.size(3); ++z) y(n * a.size(2) + j, i) += a(i, k, j, l) * b(l, n, k, z);
    return y;
  }
  static double terms(const Shapes& s) { return double(count(s[0]) / s[0][0] * s[1][3]); }
  static inline const Cases correct = {{{2, 3, 4, 5}, {5, 2, 3, 2}}, {{1, 2, 1, 3}, {3, 1, 2, 1}}};
  static inline const Cases threads = {{{20, 8, 9, 10}, {10, 11, 8, 3}}};
  static constexpr bool composed = true;
};

struct EinsumOuterCase {  // nothing is summed but what stands in one operand alone
  static constexpr std::string_view name = "einsum_outer";
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 3> b) { return einsum<"b i, j b z -> i j b">(a, b); }
  static Tensor<double, 3> reference(Tensor<double, 2> a, Tensor<double, 3> b) {
    const auto y = zeros<double>({a.size(1), b.size(0), a.size(0)});
    for (Index n = 0; n < a.size(0); ++n)
      for (Index i = 0; i < a.size(1); ++i)
        for (Index j = 0; j < b.size(0); ++j)
          for (Index z = 0; z < b.size(2); ++z) y(i, j, n) += a(n, i) * b(j, n, z);
    return y;
  }
  static double terms(const Shapes& s) { return double(s[0][1] * s[1][0] * s[1][2]); }
  static inline const Cases correct = {{{2, 3}, {4, 2, 5}}, {{1, 1}, {3, 1, 1}}};
  static inline const Cases threads = {{{30, 40}, {20, 30, 5}}};
  static constexpr bool composed = true;
};

struct EinsumDotCase {
  static constexpr std::string_view name = "einsum_dot";
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return std::tuple(einsum<"i j, j i ->">(a, b), einsum<"i j -> j">(a), einsum<"i j, i j -> j i">(b, b)); }
  static std::tuple<Tensor<double, 0>, Tensor<double, 1>, Tensor<double, 2>> reference(Tensor<double, 2> a, Tensor<double, 2> b) {
    const auto dot = scalar(0.0);
    const auto sums = zeros<double>({a.size(1)});
    const auto squares = empty<double>({b.size(1), b.size(0)});
    for (Index i = 0; i < a.size(0); ++i)
      for (Index j = 0; j < a.size(1); ++j) *dot.data() += a(i, j) * b(j, i), sums(j) += a(i, j), squares(i, j) = b(j, i) * b(j, i);
    return {dot, sums, squares};
  }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{3, 4}, {4, 3}}, {{1, 1}, {1, 1}}};
  static inline const Cases threads = {{{90, 80}, {80, 90}}};
  static constexpr bool composed = true;
};

}  // namespace fg::test
