#pragma once

#include <cmath>

#include <framegrad/ops/cross_entropy.hpp>

#include "op_case.hpp"

namespace fg::test {

struct CrossEntropyCase {
  static constexpr std::string_view name = "cross_entropy";
  template <class T>
  static auto run(Tensor<T, 2> logits, Tensor<std::int64_t, 1> targets) { return cross_entropy(logits, targets, 2); }
  static Tensor<double, 0> reference(Tensor<double, 2> logits, Tensor<std::int64_t, 1> targets) {
    double total = 0, counted = 0;
    for (Index i = 0; i < logits.size(0); ++i) {
      if (targets(i) == 2) continue;
      double s = 0;
      for (Index c = 0; c < logits.size(1); ++c) s += std::exp(logits(i, c));
      total += std::log(s) - logits(i, targets(i)), counted += 1;
    }
    return scalar(total / counted);
  }
  static double input(int which, Index i, const Shapes& s) { return which == 0 ? uniform(which, i, -5, 5) : integer(which, i, s[0][1]); }
  static inline const Cases correct = {{{1, 1}, {1}}, {{9, 4}, {9}}, {{5, 70}, {5}}, {{70, 64}, {70}}, {{3, 1152}, {3}}};
  static inline const Cases reject = {{{3, 4}, {4}}, {{3, 4}, {1}}};
  static inline const Cases timed = {{{2048, 1000}, {2048}}};
  static double bytes(const Shapes& s, int item) { return double(item) * double(count(s[0])); }  // logits in
};

}  // namespace fg::test
