#pragma once

#include <framegrad/ops/pad.hpp>

#include "op_case.hpp"

namespace fg::test {

struct PadCase {
  static constexpr std::string_view name = "pad";
  template <class T>
  static auto run(Tensor<T, 3> x) { return pad(x, {Sides{1, 0}, 2, Sides{0, 3}}, 0.5f); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    const auto [A, B, C] = x.shape();
    auto y = full<double, 3>({A + 1, B + 4, C + 3}, 0.5);
    for (Index i = 0; i < A; ++i)
      for (Index j = 0; j < B; ++j)
        for (Index k = 0; k < C; ++k) y(i + 1, j + 2, k) = x(i, j, k);
    return y;
  }
  static inline const Cases correct = {{{2, 3, 5}}, {{1, 1, 40}}};
  static inline const Cases timed = {{{64, 256, 384}}};
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }
};

struct PadNegativeCase {
  static constexpr std::string_view name = "pad_negative";
  template <class T>
  static auto run(Tensor<T, 1> x) { return pad(x, x.size(0) > 4 ? Sides{0, -1} : Sides{0, 0}); }
  static inline const Cases correct = {{{3}}};
  static inline const Cases reject = {{{5}}};
  static inline const Cases threads = {{{2}}};
};

}  // namespace fg::test
