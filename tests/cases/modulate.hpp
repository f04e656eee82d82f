#pragma once

#include <framegrad/ops/modulate.hpp>

#include "op_case.hpp"

namespace fg::test {

struct ModulateCase {
  static constexpr std::string_view name = "modulate";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 3> shift, Tensor<T, 3> scale) { return modulate(x, shift, scale); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 3> shift, Tensor<double, 3> scale) {
    const auto y = empty<double>({x.size(0), x.size(1), x.size(2)});
    for (Index b = 0; b < x.size(0); ++b)
      for (Index n = 0; n < x.size(1); ++n)
        for (Index c = 0; c < x.size(2); ++c) y(b, n, c) = x(b, n, c) * (1 + scale(b, 0, c)) + shift(b, 0, c);
    return y;
  }

  static inline const Cases correct = {{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {{3, 5, 33}, {3, 1, 33}, {3, 1, 33}}, {{2, 40, 100}, {2, 1, 100}, {2, 1, 100}},
                                       {{2, 70, 264}, {2, 1, 264}, {2, 1, 264}}, {{2, 0, 4}, {2, 1, 4}, {2, 1, 4}}};
  static inline const Cases reject = {{{3, 5, 4}, {1, 1, 4}, {3, 1, 4}}, {{3, 5, 4}, {3, 1, 4}, {3, 5, 4}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1, 1, 1152}, {1, 1, 1152}}};  // STDiT-XL/2: 16 frames of 256×256
  static double terms(const Shapes& s) { return double(s[0][1]); }
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
