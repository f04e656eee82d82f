#pragma once

#include <framegrad/ops/embedding.hpp>

#include "op_case.hpp"

namespace fg::test {

struct EmbeddingCase {
  static constexpr std::string_view name = "embedding";
  template <class T>
  static auto run(Tensor<T, 2> weight, Tensor<std::int64_t, 2> ids) { return embedding(weight, ids); }
  static Tensor<double, 3> reference(Tensor<double, 2> weight, Tensor<std::int64_t, 2> ids) {
    const auto y = empty<double>({ids.size(0), ids.size(1), weight.size(1)});
    for (Index i = 0; i < ids.size(0); ++i)
      for (Index j = 0; j < ids.size(1); ++j)
        for (Index k = 0; k < weight.size(1); ++k) y(i, j, k) = weight(ids(i, j), k);
    return y;
  }
  static double input(int which, Index i, const Shapes& s) { return which == 0 ? uniform(which, i) : integer(which, i, s[0][0]); }
  static double terms(const Shapes& s) { return double(count(s[1])); }
  static inline const Cases correct = {{{1, 1}, {1, 1}}, {{5, 33}, {3, 4}}, {{3, 7}, {2, 9}}, {{4, 3}, {0, 2}}};
  static inline const Cases timed = {{{30000, 512}, {32, 120}}};                                               // a vocabulary, 120 text tokens
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[1]) * s[0][1]); }  // rows in, rows out
};

}  // namespace fg::test
