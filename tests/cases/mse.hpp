#pragma once

#include <framegrad/ops/mse.hpp>

#include "op_case.hpp"

namespace fg::test {

struct MseCase {
  static constexpr std::string_view name = "mse";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return mse(a, b); }
  static Tensor<double, 0> reference(Tensor<double, 3> a, Tensor<double, 3> b) {
    double s = 0;
    for (Index i = 0; i < a.count(); ++i) s += (a.data()[i] - b.data()[i]) * (a.data()[i] - b.data()[i]);
    return scalar(s / double(a.count()));
  }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{1, 1, 1}, {1, 1, 1}}, {{3, 5, 33}, {3, 5, 33}}, {{2, 65, 67}, {2, 65, 67}}};
  static inline const Cases reject = {{{1, 2, 3}, {1, 3, 2}}, {{1, 2, 3}, {1, 1, 1}}};
  static inline const Cases timed = {{{16, 4096, 16}, {16, 4096, 16}}};                        // latents of 16 frames
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // a and b in
};

}  // namespace fg::test
