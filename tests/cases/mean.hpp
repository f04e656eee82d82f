#pragma once

#include <framegrad/ops/mean.hpp>

#include "op_case.hpp"

namespace fg::test {

struct MeanCase {
  static constexpr std::string_view name = "mean";
  template <class T>
  static auto run(Tensor<T, 3> x) { return mean<0, 2>(x); }
  static Tensor<double, 1> reference(Tensor<double, 3> x) {
    const auto y = zeros<double>({x.size(1)});
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < x.size(1); ++j)
        for (Index k = 0; k < x.size(2); ++k) y(j) += x(i, j, k);
    for (Index j = 0; j < x.size(1); ++j) y(j) /= double(x.size(0) * x.size(2));  // the mean of nothing is NaN
    return y;
  }
  static inline const Cases correct = {{{2, 3, 4}}, {{3, 7, 70}}, {{1, 5, 1}}, {{0, 2, 3}}};
  static inline const Cases timed = {{{16, 128, 4096}}};
  static double bytes(const Shapes& s, int item) { return double(item) * double(count(s[0])); }  // x in
};

}  // namespace fg::test
