#pragma once

#include <framegrad/ops/contiguous.hpp>
#include <framegrad/ops/views.hpp>

#include "op_case.hpp"

namespace fg::test {

struct ContiguousCase {
  static constexpr std::string_view name = "contiguous";
  template <class T>
  static auto run(Tensor<T, 3> x) { return contiguous(transpose(x, 0, 2)); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    const auto y = empty<double>({x.size(2), x.size(1), x.size(0)});
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < x.size(1); ++j)
        for (Index k = 0; k < x.size(2); ++k) y(k, j, i) = x(i, j, k);
    return y;
  }
  static double terms(const Shapes&) { return 1; }
  static inline const Cases correct = {{{2, 3, 5}}, {{1, 40, 1}}, {{2, 0, 3}}};
  static inline const Cases timed = {{{16, 256, 1152}}};
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }
};

}  // namespace fg::test
