#pragma once

#include <algorithm>
#include <tuple>

#include <framegrad/ops/add.hpp>
#include <framegrad/ops/div.hpp>
#include <framegrad/ops/maximum.hpp>
#include <framegrad/ops/minimum.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sub.hpp>

#include "op_case.hpp"

namespace fg::test {

/// What functions of two tensors are tried at: one shape, one of them repeated, both of them repeated, and of other ranks.
struct BinaryShapes {
  static inline const Cases correct = {{{3, 5, 33}, {3, 5, 33}},
                                       {{3, 5, 33}, {1, 1, 33}},
                                       {{1, 5, 1}, {2, 1, 7}},
                                       {{2, 3, 1}, {2, 3, 70}},
                                       {{1, 1, 1}, {1, 1, 1}},
                                       {{2, 17, 16}, {1, 1, 16}},   // whole packs: a row, a number for each row, a row for each sample, and both repeated
                                       {{3, 9, 1}, {3, 9, 24}},
                                       {{2, 18, 8}, {2, 1, 8}},
                                       {{3, 1, 8}, {1, 11, 1}}};
  static inline const Cases reject = {{{3, 5, 4}, {3, 5, 5}}, {{2, 1, 4}, {3, 1, 4}}};
  static inline const Cases threads = {{{30, 40, 300}, {30, 40, 300}}, {{30, 40, 300}, {1, 1, 300}}, {{30, 40, 1}, {1, 40, 300}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1, 4096, 1152}}, {{1, 4096, 1152}, {1, 1, 1152}}};
  static double terms(const Shapes& s) { return double(std::max(count(s[0]), count(s[1]))); }
  static double bytes(const Shapes& s, int item) { return item * (2.0 * double(count(s[0])) + double(count(s[1]))); }
};

template <class F>
Tensor<double, 3> both(const Tensor<double, 3>& a, const Tensor<double, 3>& b, F f) {
  Index n[3];
  for (int i = 0; i < 3; ++i) n[i] = a.size(i) == 1 ? b.size(i) : a.size(i);
  const auto at = [](const auto& t, Index i, Index j, Index k) { return t(t.size(0) == 1 ? 0 : i, t.size(1) == 1 ? 0 : j, t.size(2) == 1 ? 0 : k); };
  const auto y = empty<double, 3>(n);
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k) y(i, j, k) = f(at(a, i, j, k), at(b, i, j, k));
  return y;
}

struct AddCase : BinaryShapes {
  static constexpr std::string_view name = "add";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return a + b; }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) { return both(a, b, [](double x, double y) { return x + y; }); }
};

struct SubCase : BinaryShapes {
  static constexpr std::string_view name = "sub";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return a - b; }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) { return both(a, b, [](double x, double y) { return x - y; }); }
};

struct MulCase : BinaryShapes {
  static constexpr std::string_view name = "mul";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return a * b; }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) { return both(a, b, [](double x, double y) { return x * y; }); }
};

struct DivCase : BinaryShapes {
  static constexpr std::string_view name = "div";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return a / b; }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) { return both(a, b, [](double x, double y) { return x / y; }); }
  static double input(int which, Index i) { return which ? uniform(which, i, 0.5, 2) : uniform(which, i); }
};

struct MinimumCase : BinaryShapes {
  static constexpr std::string_view name = "minimum";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return minimum(a, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) { return both(a, b, [](double x, double y) { return std::min(x, y); }); }
  static double input(int which, Index i) { return distinct(which, i) + (which ? 1 / 509.0 : 0); }  // no two within 0.001
};

struct MaximumCase : BinaryShapes {
  static constexpr std::string_view name = "maximum";
  template <class T>
  static auto run(Tensor<T, 3> a, Tensor<T, 3> b) { return maximum(a, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> a, Tensor<double, 3> b) { return both(a, b, [](double x, double y) { return std::max(x, y); }); }
  static double input(int which, Index i) { return distinct(which, i) + (which ? 1 / 509.0 : 0); }  // no two within 0.001
};

struct AddRanksCase {  // a bias, added to rows
  static constexpr std::string_view name = "add_ranks";
  template <class T>
  static auto run(Tensor<T, 1> a, Tensor<T, 3> b) { return std::tuple(a + b, b - a); }
  static inline const Cases correct = {{{5}, {2, 3, 5}}};
  static inline const Cases threads = {{{300}, {20, 30, 300}}};
  static double terms(const Shapes& s) { return double(count(s[1])); }
};

}  // namespace fg::test
