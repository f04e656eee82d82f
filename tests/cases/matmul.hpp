#pragma once

#include <algorithm>

#include <framegrad/ops/matmul.hpp>
#include <framegrad/ops/views.hpp>

#include "op_case.hpp"

namespace fg::test {

struct MatmulCase {
  static constexpr std::string_view name = "matmul";
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return matmul(a, b); }
  static Tensor<double, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) {
    const auto y = zeros<double>({a.size(0), b.size(1)});
    for (Index i = 0; i < a.size(0); ++i)
      for (Index j = 0; j < b.size(1); ++j)
        for (Index k = 0; k < a.size(1); ++k) y(i, j) += a(i, k) * b(k, j);
    return y;
  }
  static inline const Cases correct = {{{1, 1}, {1, 1}}, {{5, 7}, {7, 3}}, {{33, 20}, {20, 70}}, {{1, 40}, {40, 1}}};
  static inline const Cases reject = {{{2, 3}, {4, 2}}};
  static inline const Cases timed = {{{1024, 1024}, {1024, 1024}}};
  static double flops(const Shapes& s) { return 2.0 * double(count(s[0])) * double(s[1][1]); }
};

struct MatmulTransposedCase {  // neither operand is copied; aᵀ·bᵀ
  static constexpr std::string_view name = "matmul_transposed";
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return matmul(transpose(a, 0, 1), transpose(b, 0, 1)); }
  static inline const Cases correct = {{{7, 5}, {3, 7}}, {{20, 33}, {70, 20}}};
  static inline const Cases threads = {{{130, 200}, {150, 130}}};
};

struct MatmulBatchedCase {
  static constexpr std::string_view name = "matmul_batched";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return matmul(a, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) {
    const Index A = std::max(a.size(0), b.size(0));
    const auto y = zeros<double>({A, a.size(1), b.size(2)});
    for (Index n = 0; n < A; ++n)
      for (Index i = 0; i < a.size(1); ++i)
        for (Index j = 0; j < b.size(2); ++j)
          for (Index k = 0; k < a.size(2); ++k) y(n, i, j) += a(a.size(0) == 1 ? 0 : n, i, k) * b(b.size(0) == 1 ? 0 : n, k, j);
    return y;
  }
  static inline const Cases correct = {{{3, 4, 5}, {3, 5, 6}}, {{1, 4, 5}, {3, 5, 6}}, {{3, 4, 5}, {1, 5, 6}}, {{9, 2, 1}, {9, 1, 2}}};
  static inline const Cases reject = {{{2, 4, 5}, {3, 5, 6}}, {{3, 4, 5}, {3, 4, 5}}};
  static inline const Cases timed = {{{16, 256, 72}, {16, 72, 256}}};  // STDiT-XL/2: scores of one frame's heads
  static double terms(const Shapes& s) { return double(std::max({s[0][2], s[0][1] * s[0][0] * s[1][0], s[1][2] * s[0][0] * s[1][0]})); }
  static double flops(const Shapes& s) { return 2.0 * double(count(s[0])) * double(s[1][2]); }
};

struct MatmulBroadcastCase {  // leading axes of other ranks, repeated on both sides
  static constexpr std::string_view name = "matmul_broadcast";
  template <class T>
  static auto run(Tensor<T, 4> a, Tensor<T, 3> b) { return matmul(a, b); }
  static inline const Cases correct = {{{2, 1, 4, 5}, {3, 5, 6}}, {{2, 3, 4, 5}, {1, 5, 2}}};
  static inline const Cases threads = {{{2, 1, 40, 50}, {9, 50, 60}}};
  static double terms(const Shapes& s) { return double(count(s[0]) * s[1][0]); }
};

}  // namespace fg::test
