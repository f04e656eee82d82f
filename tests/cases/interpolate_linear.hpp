#pragma once

#include <framegrad/ops/interpolate_linear.hpp>

#include "op_case.hpp"

namespace fg::test {

struct InterpolateLinearCase {
  static constexpr std::string_view name = "interpolate_linear";
  template <class T>
  static auto run(Tensor<T, 4> x) { return interpolate_linear(x, {7, 3}); }
  static Tensor<double, 4> reference(Tensor<double, 4> x) {
    const auto [N, C, H, W] = x.shape();
    const auto cell = [](Index i, Index targets, Index sources, double& part) {
      const double s = std::max(0.0, (double(i) + 0.5) * double(sources) / double(targets) - 0.5);
      part = s - std::floor(s);
      return Index(s);
    };
    auto y = empty<double, 4>({N, C, 7, 3});
    for (Index p = 0; p < N * C; ++p)
      for (Index h = 0; h < 7; ++h)
        for (Index w = 0; w < 3; ++w) {
          double v, u;
          const Index i = cell(h, 7, H, v), j = cell(w, 3, W, u);
          const double* at = x.data() + p * H * W;
          const Index i1 = std::min(i + 1, H - 1), j1 = std::min(j + 1, W - 1);
          y.data()[(p * 7 + h) * 3 + w] = (1 - v) * ((1 - u) * at[i * W + j] + u * at[i * W + j1]) + v * ((1 - u) * at[i1 * W + j] + u * at[i1 * W + j1]);
        }
    return y;
  }

  static inline const Cases correct = {{{2, 3, 4, 5}}, {{1, 18, 1, 9}}, {{1, 2, 11, 1}}, {{1, 16, 3, 4}}};  // up and down; whole packs of a GPU are 4 or 8 channels
  static inline const Cases threads = {{{4, 64, 64, 64}}};
  static inline const Cases reject = {{{1, 2, 0, 4}}};
};

struct InterpolateLinear1dCase {
  static constexpr std::string_view name = "interpolate_linear_1d";
  template <class T>
  static auto run(Tensor<T, 3> x) { return interpolate_linear(x, {8}); }
  static inline const Cases correct = {{{1, 3, 5}}, {{2, 1, 20}}};
  static inline const Cases threads = {{{16, 512, 16}}};
};

struct InterpolateLinear3dCase {
  static constexpr std::string_view name = "interpolate_linear_3d";
  template <class T>
  static auto run(Tensor<T, 5> x) { return interpolate_linear(x, {4, 6, 6}); }
  static inline const Cases correct = {{{1, 2, 2, 3, 4}}};
  static inline const Cases timed = {{{1, 512, 4, 32, 32}}};
  static double bytes(const Shapes& s, int item) { return item * (double(count(s[0])) + 144.0 * double(s[0][0] * s[0][1])); }
};

}  // namespace fg::test
