#pragma once

#include <framegrad/ops/sum.hpp>

#include "op_case.hpp"

namespace fg::test {

struct SumCase {  // blocks kept, reduced, kept
  static constexpr std::string_view name = "sum_middle";
  template <class T>
  static auto run(Tensor<T, 3> x) { return sum<1>(x); }
  static Tensor<double, 2> reference(Tensor<double, 3> x) {
    const auto y = zeros<double>({x.size(0), x.size(2)});
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < x.size(1); ++j)
        for (Index k = 0; k < x.size(2); ++k) y(i, k) += x(i, j, k);
    return y;
  }
  static inline const Cases correct = {{{2, 3, 4}}, {{3, 7, 70}}, {{1, 5, 1}}, {{2, 0, 3}}, {{2, 20, 64}}};
  static inline const Cases threads = {{{3, 257, 1100}}, {{2, 40000, 3}}};
};

struct SumOuterAndInnerCase {  // reduced, kept, reduced
  static constexpr std::string_view name = "sum_outer_and_inner";
  template <class T>
  static auto run(Tensor<T, 4> x) { return sum<keepdim, 0, -1>(x); }
  static Tensor<double, 4> reference(Tensor<double, 4> x) {
    const auto y = zeros<double>({1, x.size(1), x.size(2), 1});
    for (Index a = 0; a < x.size(0); ++a)
      for (Index b = 0; b < x.size(1); ++b)
        for (Index c = 0; c < x.size(2); ++c)
          for (Index e = 0; e < x.size(3); ++e) y(0, b, c, 0) += x(a, b, c, e);
    return y;
  }
  static double terms(const Shapes& s) { return double(s[0][0] * s[0][3]); }
  static inline const Cases correct = {{{2, 3, 2, 4}}, {{3, 2, 5, 33}}, {{1, 1, 1, 1}}};
  static inline const Cases threads = {{{64, 3, 5, 1000}}};
};

struct SumAllCase {
  static constexpr std::string_view name = "sum_all";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sum(x); }
  static Tensor<double, 0> reference(Tensor<double, 2> x) {
    double s = 0;
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < x.size(1); ++j) s += x(i, j);
    return scalar(s);
  }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{1, 1}}, {{9, 100}}, {{3, 8192}}};
  static inline const Cases timed = {{{4096, 1152}}};
  static double bytes(const Shapes& s, int item) { return double(item) * double(count(s[0])); }  // x in
};

struct SumRowsCase {
  static constexpr std::string_view name = "sum_columns";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sum<0>(x); }
  static inline const Cases correct = {{{7, 130}}};
  static inline const Cases timed = {{{4096, 1152}}};  // a bias's gradient
  static double bytes(const Shapes& s, int item) { return double(item) * double(count(s[0])); }
};

}  // namespace fg::test
