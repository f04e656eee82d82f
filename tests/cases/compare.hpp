#pragma once

#include <algorithm>

#include <framegrad/ops/compare.hpp>

#include "op_case.hpp"

namespace fg::test {

template <class F>
Tensor<bool, 2> compared(const Tensor<double, 2>& a, const Tensor<double, 2>& b, F holds) {
  const auto y = empty<bool>({std::max(a.size(0), b.size(0)), std::max(a.size(1), b.size(1))});
  for (Index i = 0; i < y.size(0); ++i)
    for (Index j = 0; j < y.size(1); ++j)
      y(i, j) = holds(a(a.size(0) == 1 ? 0 : i, a.size(1) == 1 ? 0 : j), b(b.size(0) == 1 ? 0 : i, b.size(1) == 1 ? 0 : j));
  return y;
}

struct EqualCase {
  static constexpr std::string_view name = "equal";
  using Types = std::tuple<double, float>;
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return equal(a, b); }
  static Tensor<bool, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) { return compared(a, b, [](double x, double y) { return x == y; }); }
  static double input(int which, Index i) { return integer(which, i, 5) - 2; }  // so that some are equal
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{3, 70}, {3, 70}}, {{3, 1}, {1, 33}}, {{1, 1}, {2, 5}}};
  static inline const Cases threads = {{{300, 400}, {1, 400}}};
};

struct NotEqualCase {
  static constexpr std::string_view name = "not_equal";
  using Types = std::tuple<double, float>;
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return not_equal(a, b); }
  static Tensor<bool, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) { return compared(a, b, [](double x, double y) { return x != y; }); }
  static double input(int which, Index i) { return integer(which, i, 5) - 2; }  // so that some are equal
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{3, 70}, {3, 70}}, {{3, 1}, {1, 33}}, {{1, 1}, {2, 5}}};
  static inline const Cases threads = {{{300, 400}, {1, 400}}};
};

struct LessCase {
  static constexpr std::string_view name = "less";
  using Types = std::tuple<double, float, bf16, half, std::int64_t, std::int32_t>;
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return less(a, b); }
  static Tensor<bool, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) { return compared(a, b, [](double x, double y) { return x < y; }); }
  static double input(int which, Index i) { return integer(which, i, 5) - 2; }  // so that some are equal
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{3, 70}, {3, 70}}, {{3, 1}, {1, 33}}, {{1, 1}, {2, 5}}};
  static inline const Cases reject = {{{3, 4}, {3, 5}}};
  static inline const Cases timed = {{{4096, 1152}, {4096, 1152}}};
  static double bytes(const Shapes& s, int item) { return (2.0 * item + 1) * double(count(s[0])); }
};

struct LessEqualCase {
  static constexpr std::string_view name = "less_equal";
  using Types = std::tuple<double, float>;
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return less_equal(a, b); }
  static Tensor<bool, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) { return compared(a, b, [](double x, double y) { return x <= y; }); }
  static double input(int which, Index i) { return integer(which, i, 5) - 2; }  // so that some are equal
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{3, 70}, {3, 70}}, {{3, 1}, {1, 33}}, {{1, 1}, {2, 5}}};
  static inline const Cases threads = {{{300, 400}, {1, 400}}};
};

struct GreaterCase {
  static constexpr std::string_view name = "greater";
  using Types = std::tuple<double, float>;
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return greater(a, b); }
  static Tensor<bool, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) { return compared(a, b, [](double x, double y) { return x > y; }); }
  static double input(int which, Index i) { return integer(which, i, 5) - 2; }  // so that some are equal
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{3, 70}, {3, 70}}, {{3, 1}, {1, 33}}, {{1, 1}, {2, 5}}};
  static inline const Cases threads = {{{300, 400}, {1, 400}}};
};

struct GreaterEqualCase {
  static constexpr std::string_view name = "greater_equal";
  using Types = std::tuple<double, float>;
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return greater_equal(a, b); }
  static Tensor<bool, 2> reference(Tensor<double, 2> a, Tensor<double, 2> b) { return compared(a, b, [](double x, double y) { return x >= y; }); }
  static double input(int which, Index i) { return integer(which, i, 5) - 2; }  // so that some are equal
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{3, 70}, {3, 70}}, {{3, 1}, {1, 33}}, {{1, 1}, {2, 5}}};
  static inline const Cases threads = {{{300, 400}, {1, 400}}};
};

struct LessThanNumberCase {
  static constexpr std::string_view name = "less_than_number";
  template <class T>
  static auto run(Tensor<T, 1> a) { return less(a, 0.25); }
  static Tensor<bool, 1> reference(Tensor<double, 1> a) {
    const auto y = empty<bool>({a.size(0)});
    for (Index i = 0; i < a.size(0); ++i) y(i) = a(i) < 0.25;
    return y;
  }
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{100}}};
  static inline const Cases threads = {{{100000}}};
};

}  // namespace fg::test
