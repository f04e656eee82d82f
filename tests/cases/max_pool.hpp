#pragma once

#include <framegrad/ops/max_pool.hpp>

#include "op_case.hpp"

namespace fg::test {

struct MaxPoolCase {
  static constexpr std::string_view name = "max_pool";
  template <class T>
  static auto run(Tensor<T, 4> x) { return max_pool(x, 3, {.stride = 2, .padding = 1}); }
  static Tensor<double, 4> reference(Tensor<double, 4> x) {
    const auto [N, C, H, W] = x.shape();
    const Index h1 = (H - 1) / 2 + 1, w1 = (W - 1) / 2 + 1;
    auto y = full<double, 4>({N, C, h1, w1}, -1e9);
    for (Index p = 0; p < N * C; ++p)
      for (Index h = 0; h < h1; ++h)
        for (Index w = 0; w < w1; ++w)
          for (Index i = std::max<Index>(0, 2 * h - 1); i < std::min(H, 2 * h + 2); ++i)
            for (Index j = std::max<Index>(0, 2 * w - 1); j < std::min(W, 2 * w + 2); ++j) {
              double& m = y.data()[(p * h1 + h) * w1 + w];
              m = std::max(m, x.data()[(p * H + i) * W + j]);
            }
    return y;
  }
  static double input(int which, Index i) { return distinct(which, i); }  // a tie has no derivative

  static inline const Cases correct = {{{2, 3, 5, 4}}, {{1, 19, 3, 5}}, {{1, 16, 4, 4}}};  // whole packs of a GPU are 4 or 8 channels
  static inline const Cases timed = {{{4, 64, 64, 64}}};
  static double terms(const Shapes&) { return 4; }
  static double bytes(const Shapes& s, int item) { return 1.25 * item * double(count(s[0])); }
};

struct MaxPool3dCase {
  static constexpr std::string_view name = "max_pool_3d";
  template <class T>
  static auto run(Tensor<T, 5> x) { return max_pool(x, {1, 2, 2}); }
  static double input(int which, Index i) { return distinct(which, i); }
  static inline const Cases correct = {{{1, 2, 3, 4, 5}}};
  static inline const Cases reject = {{{1, 2, 3, 1, 5}}};
  static inline const Cases threads = {{{1, 64, 8, 32, 32}}};
  static double terms(const Shapes&) { return 1; }
};

}  // namespace fg::test
