#pragma once

#include <algorithm>

#include <framegrad/ops/where.hpp>

#include "op_case.hpp"

namespace fg::test {

struct WhereCase {
  static constexpr std::string_view name = "where";
  template <class T>
  static auto run(Tensor<bool, 3> condition, Tensor<T, 3> a, Tensor<T, 3> b) { return where(condition, a, b); }
  static Tensor<double, 3> reference(Tensor<bool, 3> condition, Tensor<double, 3> a, Tensor<double, 3> b) {
    Index n[3];
    for (int i = 0; i < 3; ++i) n[i] = std::max({condition.size(i), a.size(i), b.size(i)});
    const auto at = [](const auto& t, Index i, Index j, Index k) { return t(t.size(0) == 1 ? 0 : i, t.size(1) == 1 ? 0 : j, t.size(2) == 1 ? 0 : k); };
    const auto y = empty<double, 3>(n);
    for (Index i = 0; i < n[0]; ++i)
      for (Index j = 0; j < n[1]; ++j)
        for (Index k = 0; k < n[2]; ++k) y(i, j, k) = at(condition, i, j, k) ? at(a, i, j, k) : at(b, i, j, k);
    return y;
  }
  static double input(int which, Index i) { return which == 0 ? integer(which, i, 2) : uniform(which, i); }

  static inline const Cases correct = {{{2, 3, 33}, {2, 3, 33}, {2, 3, 33}},
                                       {{2, 3, 1}, {2, 3, 70}, {1, 1, 70}},      // a mask for each row, b repeated
                                       {{4, 1, 5}, {1, 3, 1}, {1, 1, 5}},        // no operand has the result's shape
                                       {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}};
  static inline const Cases reject = {{{2, 3, 5}, {2, 4, 5}, {2, 3, 5}}, {{2, 3, 5}, {1, 1, 1}, {2, 3, 6}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1, 4096, 1152}, {1, 4096, 1152}}};
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static double bytes(const Shapes& s, int item) { return (3.0 * item + 1) * double(count(s[1])); }
};

struct WhereNumberCase {
  static constexpr std::string_view name = "where_number";
  template <class T>
  static auto run(Tensor<bool, 1> condition, Tensor<T, 2> x) { return where(condition, x, -2); }
  static double input(int which, Index i) { return which == 0 ? integer(which, i, 2) : uniform(which, i); }
  static inline const Cases correct = {{{17}, {3, 17}}};
  static inline const Cases threads = {{{1024}, {512, 1024}}};
};

}  // namespace fg::test
