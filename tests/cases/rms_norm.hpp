#pragma once

#include <cmath>

#include <framegrad/ops/rms_norm.hpp>

#include "op_case.hpp"

namespace fg::test {

struct RmsNormCase {
  static constexpr std::string_view name = "rms_norm";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 1> gamma) { return rms_norm(x, gamma); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 1> gamma) {
    const auto y = empty<double>({x.size(0), x.size(1), x.size(2)});
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < x.size(1); ++j) {
        double s = 0;
        for (Index k = 0; k < x.size(2); ++k) s += x(i, j, k) * x(i, j, k);
        for (Index k = 0; k < x.size(2); ++k) y(i, j, k) = x(i, j, k) * gamma(k) / std::sqrt(s / double(x.size(2)) + double(1e-6f));
      }
    return y;
  }
  static inline const Cases correct = {{{1, 1, 1}, {1}}, {{3, 4, 33}, {33}}, {{2, 70, 9}, {9}},
                                       {{1, 70, 64}, {64}}, {{2, 9, 384}, {384}}, {{1, 9, 1152}, {1152}}, {{1, 2, 8208}, {8208}}};
  static inline const Cases reject = {{{1, 3, 4}, {5}}, {{1, 3, 4}, {1}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1152}}};  // q and k of STDiT-like blocks
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
