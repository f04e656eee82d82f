#pragma once

#include <framegrad/ops/scatter_add.hpp>

#include "op_case.hpp"

namespace fg::test {

struct ScatterAddCase {
  static constexpr std::string_view name = "scatter_add";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<std::int64_t, 3> index, Tensor<T, 3> src) { return scatter_add(x, 1, index, src); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<std::int64_t, 3> index, Tensor<double, 3> src) {
    const auto [A, B, C] = index.shape();
    Tensor<double, 3> y(row_major_copy(x));
    for (Index i = 0; i < A; ++i)
      for (Index j = 0; j < B; ++j)
        for (Index k = 0; k < C; ++k) y(i, index(i, j, k), k) += src(i, j, k);
    return y;
  }
  static double input(int which, Index i, const Shapes& s) { return which == 1 ? integer(which, i, s[0][1]) : uniform(which, i); }

  static inline const Cases correct = {{{2, 3, 5}, {2, 4, 5}, {2, 4, 5}}, {{1, 9, 1}, {1, 30, 1}, {1, 30, 1}}};
  static inline const Cases reject = {{{2, 3, 5}, {2, 4, 5}, {2, 3, 5}}, {{2, 3, 5}, {2, 4, 4}, {2, 4, 4}}};
  static inline const Cases threads = {{{16, 64, 64}, {16, 64, 64}, {16, 64, 64}}};
  static double terms(const Shapes& s) { return double(s[1][1] + 1); }
};

}  // namespace fg::test
