#pragma once

#include <cmath>

#include <framegrad/ops/layer_norm.hpp>

#include "op_case.hpp"

namespace fg::test {

struct LayerNormCase {
  static constexpr std::string_view name = "layer_norm";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 1> gamma, Tensor<T, 1> beta) { return layer_norm(x, gamma, beta); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 1> gamma, Tensor<double, 1> beta) {
    const auto [I, J, C] = x.shape();
    const auto y = empty<double>({I, J, C});
    for (Index i = 0; i < I; ++i)
      for (Index j = 0; j < J; ++j) {
        double mean = 0, var = 0;
        for (Index c = 0; c < C; ++c) mean += x(i, j, c) / double(C);
        for (Index c = 0; c < C; ++c) var += (x(i, j, c) - mean) * (x(i, j, c) - mean) / double(C);
        for (Index c = 0; c < C; ++c) y(i, j, c) = (x(i, j, c) - mean) / std::sqrt(var + double(1e-5f)) * gamma(c) + beta(c);
      }
    return y;
  }

  static inline const Cases correct = {{{1, 1, 2}, {2}, {2}},               // the shortest row that has a variance
                                       {{3, 4, 33}, {33}, {33}},            // C one more than a warp
                                       {{1, 5, 100}, {100}, {100}},         // neither rows nor C is a multiple of anything
                                       {{1, 70, 64}, {64}, {64}},           // then one for each of the forms that kernels have for rows of a length
                                       {{2, 9, 384}, {384}, {384}},
                                       {{2, 9, 1152}, {1152}, {1152}},
                                       {{1, 3, 2560}, {2560}, {2560}},
                                       {{1, 3, 4096}, {4096}, {4096}},
                                       {{1, 2, 8208}, {8208}, {8208}},
                                       {{2, 0, 4}, {4}, {4}}};              // no rows: the gradients are zeros
  static inline const Cases reject = {{{1, 3, 4}, {5}, {4}}, {{1, 3, 4}, {4}, {5}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1152}, {1152}},     // STDiT-XL/2: 16 frames of 256×256
                                     {{1, 5626, 1920}, {1920}, {1920}}};    // CogVideoX-2B: text and 16 frames of 480×720
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
