#pragma once

#include <framegrad/ops/upsample_nearest.hpp>

#include "op_case.hpp"

namespace fg::test {

struct UpsampleNearestCase {
  static constexpr std::string_view name = "upsample_nearest";
  template <class T>
  static auto run(Tensor<T, 4> x) { return upsample_nearest(x, {2, 3}); }
  static Tensor<double, 4> reference(Tensor<double, 4> x) {
    const auto [N, C, H, W] = x.shape();
    auto y = empty<double, 4>({N, C, 2 * H, 3 * W});
    for (Index p = 0; p < N * C; ++p)
      for (Index h = 0; h < 2 * H; ++h)
        for (Index w = 0; w < 3 * W; ++w) y.data()[(p * 2 * H + h) * 3 * W + w] = x.data()[(p * H + h / 2) * W + w / 3];
    return y;
  }

  static inline const Cases correct = {{{2, 3, 2, 5}}, {{1, 35, 3, 1}}, {{1, 16, 2, 2}}};  // whole packs of a GPU are 4 or 8 channels
  static inline const Cases timed = {{{4, 64, 32, 32}}};
  static double terms(const Shapes&) { return 6; }
  static double bytes(const Shapes& s, int item) { return 7.0 * item * double(count(s[0])); }  // x in, y out
};

struct UpsampleNearest3dCase {
  static constexpr std::string_view name = "upsample_nearest_3d";
  template <class T>
  static auto run(Tensor<T, 5> x) { return upsample_nearest(x, 2); }

  static inline const Cases correct = {{{1, 2, 2, 3, 2}}};
  static inline const Cases threads = {{{1, 64, 8, 16, 16}}};
  static double terms(const Shapes&) { return 8; }
};

}  // namespace fg::test
