#pragma once

#include <cmath>

#include <framegrad/ops/softmax.hpp>

#include "op_case.hpp"

namespace fg::test {

struct SoftmaxCase {
  static constexpr std::string_view name = "softmax";
  template <class T>
  static auto run(Tensor<T, 3> x) { return softmax(x); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    const auto y = empty<double>({x.size(0), x.size(1), x.size(2)});
    for (Index i = 0; i < x.size(0); ++i)
      for (Index j = 0; j < x.size(1); ++j) {
        double s = 0;
        for (Index k = 0; k < x.size(2); ++k) s += std::exp(x(i, j, k));
        for (Index k = 0; k < x.size(2); ++k) y(i, j, k) = std::exp(x(i, j, k)) / s;
      }
    return y;
  }
  static double input(int which, Index i) { return uniform(which, i, -5, 5); }

  static inline const Cases correct = {{{1, 1, 1}}, {{2, 3, 33}}, {{3, 1, 100}}, {{2, 0, 4}}, {{1, 70, 64}}, {{1, 9, 384}}, {{1, 9, 1152}}, {{1, 2, 4096}}, {{1, 2, 8208}}};
  static inline const Cases timed = {{{16 * 12, 256, 256}},  // attention weights of 16 frames, 12 heads
                                     {{1, 1024, 1024}}};
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

struct SoftmaxMiddleCase {
  static constexpr std::string_view name = "softmax_middle";
  template <class T>
  static auto run(Tensor<T, 3> x) { return softmax<1>(x); }
  static inline const Cases correct = {{{2, 5, 3}}, {{1, 17, 4}}};
  static inline const Cases threads = {{{64, 65, 33}}};
};

struct LogSoftmaxCase {
  static constexpr std::string_view name = "log_softmax";
  template <class T>
  static auto run(Tensor<T, 2> x) { return log_softmax(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) {
    const auto y = empty<double>({x.size(0), x.size(1)});
    for (Index i = 0; i < x.size(0); ++i) {
      double s = 0;
      for (Index k = 0; k < x.size(1); ++k) s += std::exp(x(i, k));
      for (Index k = 0; k < x.size(1); ++k) y(i, k) = x(i, k) - std::log(s);
    }
    return y;
  }
  static double input(int which, Index i) { return uniform(which, i, -5, 5); }
  static inline const Cases correct = {{{1, 1}}, {{3, 33}}, {{2, 70}}, {{9, 1152}}, {{2, 8208}}};
  static inline const Cases timed = {{{1024, 1024}}};
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }
};

}  // namespace fg::test
