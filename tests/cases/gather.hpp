#pragma once

#include <framegrad/ops/gather.hpp>

#include "op_case.hpp"

namespace fg::test {

struct GatherCase {
  static constexpr std::string_view name = "gather";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<std::int64_t, 3> index) { return gather(x, 1, index); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<std::int64_t, 3> index) {
    const auto [A, B, C] = index.shape();
    auto y = empty<double, 3>({A, B, C});
    for (Index i = 0; i < A; ++i)
      for (Index j = 0; j < B; ++j)
        for (Index k = 0; k < C; ++k) y(i, j, k) = x(i, index(i, j, k), k);
    return y;
  }
  static double input(int which, Index i, const Shapes& s) { return which == 1 ? integer(which, i, s[0][1]) : uniform(which, i); }

  static inline const Cases correct = {{{2, 3, 5}, {2, 4, 5}}, {{1, 9, 1}, {1, 2, 1}}};
  static inline const Cases reject = {{{2, 3, 5}, {1, 4, 5}}, {{2, 3, 5}, {2, 4, 6}}};
  static inline const Cases threads = {{{16, 64, 64}, {16, 64, 64}}};
  static double terms(const Shapes& s) { return double(s[1][1]); }
};

}  // namespace fg::test
