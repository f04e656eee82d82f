#pragma once

#include <framegrad/ops/repeat.hpp>

#include "op_case.hpp"

namespace fg::test {

struct RepeatCase {
  static constexpr std::string_view name = "repeat";
  template <class T>
  static auto run(Tensor<T, 2> x) { return repeat<"b d -> b t d">(x, axis<"t">(3)); }
  static Tensor<double, 3> reference(Tensor<double, 2> x) {
    const auto y = empty<double>({x.size(0), 3, x.size(1)});
    for (Index b = 0; b < x.size(0); ++b)
      for (Index t = 0; t < 3; ++t)
        for (Index d = 0; d < x.size(1); ++d) y(b, t, d) = x(b, d);
    return y;
  }
  static double terms(const Shapes&) { return 3; }
  static inline const Cases correct = {{{2, 5}}, {{1, 33}}, {{4, 1}}};
  static inline const Cases threads = {{{100, 900}}};
};

struct RepeatElementsCase {  // each element, and then the whole
  static constexpr std::string_view name = "repeat_elements";
  template <class T>
  static auto run(Tensor<T, 2> x) { return repeat<"h w -> (r w i) h">(x, axis<"r">(2), axis<"i">(3)); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) {
    const Index W = x.size(1);
    const auto y = empty<double>({2 * W * 3, x.size(0)});
    for (Index h = 0; h < x.size(0); ++h)
      for (Index r = 0; r < 2; ++r)
        for (Index v = 0; v < W; ++v)
          for (Index i = 0; i < 3; ++i) y((r * W + v) * 3 + i, h) = x(h, v);
    return y;
  }
  static double terms(const Shapes&) { return 6; }
  static inline const Cases correct = {{{2, 5}}, {{7, 1}}};
  static inline const Cases threads = {{{100, 200}}};
};

}  // namespace fg::test
