#pragma once

#include <framegrad/ops/broadcast_to.hpp>

#include "op_case.hpp"

namespace fg::test {

struct BroadcastToCase {
  static constexpr std::string_view name = "broadcast_to";
  template <class T>
  static auto run(Tensor<T, 3> x) { return broadcast_to(x, {2, 3, 4, 5}); }
  static Tensor<double, 4> reference(Tensor<double, 3> x) {
    auto y = empty<double, 4>({2, 3, 4, 5});
    for (Index h = 0; h < 2; ++h)
      for (Index i = 0; i < 3; ++i)
        for (Index j = 0; j < 4; ++j)
          for (Index k = 0; k < 5; ++k) y(h, i, j, k) = x(x.size(0) == 1 ? 0 : i, x.size(1) == 1 ? 0 : j, x.size(2) == 1 ? 0 : k);
    return y;
  }
  static inline const Cases correct = {{{1, 4, 1}}, {{3, 4, 5}}, {{3, 1, 5}}, {{1, 1, 1}}};
  static inline const Cases reject = {{{3, 2, 5}}, {{3, 4, 7}}};
  static inline const Cases threads = {{{1, 4, 1}}};
  static double terms(const Shapes& s) { return 120.0 / double(count(s[0])); }
};

struct BroadcastRowsCase {
  static constexpr std::string_view name = "broadcast_rows";
  template <class T>
  static auto run(Tensor<T, 2> x) { return broadcast_to(x, {x.size(0) == 1 ? 3 : 16, x.size(0) == 1 ? 7 : 256, x.size(1)}); }
  static inline const Cases correct = {{{1, 40}}};
  static inline const Cases timed = {{{256, 384}}};
  static double terms(const Shapes& s) { return s[0][0] == 1 ? 21 : 16; }
  static double bytes(const Shapes& s, int item) { return 17.0 * item * double(count(s[0])); }
};

}  // namespace fg::test
