#pragma once

#include <cmath>

#include <framegrad/ops/layer_norm_modulate.hpp>

#include "op_case.hpp"

namespace fg::test {

struct LayerNormModulateCase {
  static constexpr std::string_view name = "layer_norm_modulate";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 3> shift, Tensor<T, 3> scale) { return layer_norm_modulate(x, shift, scale); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 3> shift, Tensor<double, 3> scale) {
    const Index C = x.size(2);
    const auto y = empty<double>({x.size(0), x.size(1), C});
    for (Index b = 0; b < x.size(0); ++b)
      for (Index n = 0; n < x.size(1); ++n) {
        double mean = 0, var = 0;
        for (Index c = 0; c < C; ++c) mean += x(b, n, c) / double(C);
        for (Index c = 0; c < C; ++c) var += (x(b, n, c) - mean) * (x(b, n, c) - mean) / double(C);
        for (Index c = 0; c < C; ++c) y(b, n, c) = (x(b, n, c) - mean) / std::sqrt(var + 1e-6) * (1 + scale(b, 0, c)) + shift(b, 0, c);
      }
    return y;
  }

  static inline const Cases correct = {{{1, 1, 3}, {1, 1, 3}, {1, 1, 3}}, {{3, 5, 33}, {3, 1, 33}, {3, 1, 33}}, {{2, 20, 100}, {2, 1, 100}, {2, 1, 100}},
                                       {{3, 40, 64}, {3, 1, 64}, {3, 1, 64}}, {{2, 11, 1152}, {2, 1, 1152}, {2, 1, 1152}},
                                       {{2, 0, 4}, {2, 1, 4}, {2, 1, 4}}};
  static inline const Cases reject = {{{3, 5, 4}, {1, 1, 4}, {3, 1, 4}}, {{3, 5, 4}, {3, 1, 4}, {3, 1, 5}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1, 1, 1152}, {1, 1, 1152}}};  // STDiT-XL/2: 16 frames of 256×256
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
