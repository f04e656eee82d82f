#pragma once

#include <framegrad/ops/index_select.hpp>

#include "op_case.hpp"

namespace fg::test {

struct IndexSelectCase {
  static constexpr std::string_view name = "index_select";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<std::int64_t, 1> index) { return index_select(x, 1, index); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<std::int64_t, 1> index) {
    auto y = empty<double, 3>({x.size(0), index.size(0), x.size(2)});
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < index.size(0); ++j)
        for (Index k = 0; k < x.size(2); ++k) y(i, j, k) = x(i, index(j), k);
    return y;
  }
  static double input(int which, Index i, const Shapes& s) { return which == 1 ? integer(which, i, s[0][1]) : uniform(which, i); }

  static inline const Cases correct = {{{2, 3, 5}, {4}}, {{1, 7, 1}, {20}}, {{3, 4, 17}, {1}}};  // some picked often, some never
  static inline const Cases timed = {{{1, 4096, 384}, {4096}}};
  static double terms(const Shapes& s) { return double(s[1][0]); }
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(s[0][0] * s[1][0] * s[0][2]); }
};

struct IndexSelectOutsideCase {
  static constexpr std::string_view name = "index_select_outside";
  template <class T>
  static auto run(Tensor<T, 1> x, Tensor<std::int64_t, 1> index) { return index_select(x, 0, index); }
  static double input(int which, Index i) { return which == 1 ? double(i) : uniform(which, i); }
  static constexpr bool composed = true;  // an index is seen only when the op runs
  static inline const Cases correct = {{{4}, {4}}};
  static inline const Cases reject = {{{3}, {4}}};
  static inline const Cases threads = {{{4}, {4}}};
};

}  // namespace fg::test
