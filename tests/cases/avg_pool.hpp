#pragma once

#include <framegrad/ops/avg_pool.hpp>

#include "op_case.hpp"

namespace fg::test {

struct AvgPoolCase {
  static constexpr std::string_view name = "avg_pool";
  template <class T>
  static auto run(Tensor<T, 4> x) { return avg_pool(x, {3, 2}, {.stride = {{2, 1}}, .padding = {1, Sides{1, 0}}}); }
  static Tensor<double, 4> reference(Tensor<double, 4> x) {
    const auto [N, C, H, W] = x.shape();
    const Index h1 = (H - 1) / 2 + 1, w1 = W;
    auto y = zeros<double, 4>({N, C, h1, w1});
    for (Index p = 0; p < N * C; ++p)
      for (Index h = 0; h < h1; ++h)
        for (Index w = 0; w < w1; ++w)
          for (Index i = 2 * h - 1; i < 2 * h + 2; ++i)
            for (Index j = w - 1; j < w + 1; ++j)
              if (i >= 0 && i < H && j >= 0 && j < W) y.data()[(p * h1 + h) * w1 + w] += x.data()[(p * H + i) * W + j] / 6;
    return y;
  }

  static inline const Cases correct = {{{2, 3, 5, 4}}, {{1, 35, 4, 2}}, {{1, 16, 3, 3}}};  // whole packs of a GPU are 4 or 8 channels
  static inline const Cases timed = {{{4, 64, 64, 64}}};
  static double terms(const Shapes&) { return 6; }
  static double bytes(const Shapes& s, int item) { return 1.5 * item * double(count(s[0])); }
};

struct AvgPool3dCase {
  static constexpr std::string_view name = "avg_pool_3d";
  template <class T>
  static auto run(Tensor<T, 5> x) { return avg_pool(x, {1, 2, 2}); }
  static inline const Cases correct = {{{1, 2, 3, 4, 5}}};
  static inline const Cases reject = {{{1, 2, 3, 1, 5}}};
  static inline const Cases threads = {{{1, 64, 8, 32, 32}}};
  static double terms(const Shapes&) { return 4; }
};

}  // namespace fg::test
