#pragma once

#include <cmath>

#include <framegrad/ops/cos.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/log.hpp>
#include <framegrad/ops/rsqrt.hpp>
#include <framegrad/ops/sigmoid.hpp>
#include <framegrad/ops/sin.hpp>
#include <framegrad/ops/sqrt.hpp>
#include <framegrad/ops/tanh.hpp>

#include "op_case.hpp"

namespace fg::test {

/// What the functions of one number are tried at.
struct UnaryShapes {
  static inline const Cases correct = {{{3, 70}}, {{1, 7}}, {{2, 0}}};  // not one number alone: far out, a slope of tanh is a small difference of large ones
  static inline const Cases threads = {{{300, 700}}};
  static inline const Cases timed = {{{4096, 1152}}};
  static double terms(const Shapes&) { return 1; }
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

template <class F>
Tensor<double, 2> each(const Tensor<double, 2>& x, F f) {
  const auto y = empty<double>({x.size(0), x.size(1)});
  for (Index i = 0; i < x.size(0); ++i)
    for (Index j = 0; j < x.size(1); ++j) y(i, j) = f(x(i, j));
  return y;
}

struct ExpCase : UnaryShapes {
  static constexpr std::string_view name = "exp";
  template <class T>
  static auto run(Tensor<T, 2> x) { return exp(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::exp(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct LogCase : UnaryShapes {
  static constexpr std::string_view name = "log";
  template <class T>
  static auto run(Tensor<T, 2> x) { return log(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::log(v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct SqrtCase : UnaryShapes {
  static constexpr std::string_view name = "sqrt";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sqrt(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::sqrt(v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct RsqrtCase : UnaryShapes {
  static constexpr std::string_view name = "rsqrt";
  template <class T>
  static auto run(Tensor<T, 2> x) { return rsqrt(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 1 / std::sqrt(v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct SinCase : UnaryShapes {
  static constexpr std::string_view name = "sin";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sin(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::sin(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct CosCase : UnaryShapes {
  static constexpr std::string_view name = "cos";
  template <class T>
  static auto run(Tensor<T, 2> x) { return cos(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::cos(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct TanhCase : UnaryShapes {
  static constexpr std::string_view name = "tanh";
  template <class T>
  static auto run(Tensor<T, 2> x) { return tanh(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::tanh(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct SigmoidCase : UnaryShapes {
  static constexpr std::string_view name = "sigmoid";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sigmoid(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 1 / (1 + std::exp(-v)); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

}  // namespace fg::test
