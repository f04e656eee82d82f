#pragma once

#include <cmath>

#include <framegrad/ops/geglu.hpp>

#include "op_case.hpp"

namespace fg::test {

struct GegluCase {
  static constexpr std::string_view name = "geglu";
  template <class T>
  static auto run(Tensor<T, 3> x) { return geglu(x); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    const Index C = x.size(2) / 2;
    const auto y = empty<double>({x.size(0), x.size(1), C});
    for (Index b = 0; b < x.size(0); ++b)
      for (Index n = 0; n < x.size(1); ++n)
        for (Index c = 0; c < C; ++c) {
          const double gate = x(b, n, C + c);
          y(b, n, c) = x(b, n, c) * gate * 0.5 * std::erfc(-gate / std::sqrt(2.0));
        }
    return y;
  }

  static inline const Cases correct = {{{1, 1, 2}}, {{3, 5, 34}}, {{2, 3, 528}}, {{2, 0, 4}}, {{2, 3, 0}}};
  static inline const Cases reject = {{{3, 5, 7}}};
  static inline const Cases threads = {{{4, 64, 640}}};
  static inline const Cases timed = {{{1, 4096, 2560}}};  // Stable Diffusion: 64×64 cells, 320 channels, four times as wide between the projections
  static double bytes(const Shapes& s, int item) { return 1.5 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
