// What the cases of pointwise ops of one operand share: shapes, and a reference that goes number by number.
#pragma once

#include "op_case.hpp"

namespace fg::test {

struct PointwiseShapes {
  static inline const Cases correct = {{{3, 70}}, {{1, 7}}, {{2, 0}}};  // not one number alone: far out, a slope of tanh or GELU is a small difference of large ones
  static inline const Cases threads = {{{300, 700}}};
  static inline const Cases timed = {{{4096, 1152}}};
  static double terms(const Shapes&) { return 1; }
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

template <class F>
Tensor<double, 2> each(const Tensor<double, 2>& x, F f) {
  const auto y = empty<double>({x.size(0), x.size(1)});
  for (Index i = 0; i < x.size(0); ++i)
    for (Index j = 0; j < x.size(1); ++j) y(i, j) = f(x(i, j));
  return y;
}

}  // namespace fg::test
