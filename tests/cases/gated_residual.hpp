#pragma once

#include <framegrad/ops/gated_residual.hpp>
#include <framegrad/ops/rearrange.hpp>

#include "op_case.hpp"

namespace fg::test {

struct GatedResidualCase {
  static constexpr std::string_view name = "gated_residual";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 3> gate, Tensor<T, 3> h) { return gated_residual(x, gate, h); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 3> gate, Tensor<double, 3> h) {
    const auto y = empty<double>({x.size(0), x.size(1), x.size(2)});
    for (Index b = 0; b < x.size(0); ++b)
      for (Index n = 0; n < x.size(1); ++n)
        for (Index c = 0; c < x.size(2); ++c) y(b, n, c) = x(b, n, c) + gate(b, 0, c) * h(b, n, c);
    return y;
  }

  static inline const Cases correct = {{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {{3, 5, 33}, {3, 1, 33}, {3, 5, 33}}, {{2, 40, 70}, {2, 1, 70}, {2, 40, 70}},
                                       {{2, 70, 264}, {2, 1, 264}, {2, 70, 264}}, {{2, 0, 4}, {2, 1, 4}, {2, 0, 4}}};
  static inline const Cases reject = {{{3, 5, 4}, {1, 1, 4}, {3, 5, 4}}, {{3, 5, 4}, {3, 1, 4}, {3, 4, 4}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1, 1, 1152}, {1, 4096, 1152}}};  // STDiT-XL/2: 16 frames of 256×256
  static double terms(const Shapes& s) { return double(s[0][1]); }
  static double bytes(const Shapes& s, int item) { return 3.0 * item * double(count(s[0])); }  // x and h in, y out
};

struct GatedResidualOfFramesCase {  // h as temporal attention leaves it: patches before frames
  static constexpr std::string_view name = "gated_residual_of_frames";
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> gate, Tensor<T, 4> h) { return gated_residual(x, gate, rearrange<"b s t d -> b t s d">(h)); }
  static inline const Cases correct = {{{2, 3, 4, 5}, {2, 1, 1, 5}, {2, 4, 3, 5}}, {{2, 5, 4, 16}, {2, 1, 1, 16}, {2, 4, 5, 16}}};
  static inline const Cases threads = {{{2, 16, 64, 96}, {2, 1, 1, 96}, {2, 64, 16, 96}}};
  static double terms(const Shapes& s) { return double(s[0][1] * s[0][2]); }
};

}  // namespace fg::test
