#pragma once

#include <framegrad/ops/split.hpp>

#include "op_case.hpp"

namespace fg::test {

struct SplitCase {
  static constexpr std::string_view name = "split";
  template <class T>
  static auto run(Tensor<T, 3> x) { return split(x, 1, {1, 3, 2}); }
  static std::vector<Tensor<double, 3>> reference(Tensor<double, 3> x) {
    std::vector<Tensor<double, 3>> parts;
    Index at = 0;
    for (const Index n : {1, 3, 2}) {
      auto y = empty<double, 3>({x.size(0), n, x.size(2)});
      for (Index i = 0; i < x.size(0); ++i)
        for (Index j = 0; j < n; ++j)
          for (Index k = 0; k < x.size(2); ++k) y(i, j, k) = x(i, at + j, k);
      parts.push_back(y), at += n;
    }
    return parts;
  }
  static inline const Cases correct = {{{2, 6, 3}}, {{1, 6, 1}}};
  static inline const Cases reject = {{{2, 7, 3}}, {{2, 5, 3}}};
  static inline const Cases threads = {{{64, 6, 512}}};
};

}  // namespace fg::test
