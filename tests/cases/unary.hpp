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

#include "pointwise_case.hpp"

namespace fg::test {

struct ExpCase : PointwiseShapes {
  static constexpr std::string_view name = "exp";
  template <class T>
  static auto run(Tensor<T, 2> x) { return exp(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::exp(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct LogCase : PointwiseShapes {
  static constexpr std::string_view name = "log";
  template <class T>
  static auto run(Tensor<T, 2> x) { return log(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::log(v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct SqrtCase : PointwiseShapes {
  static constexpr std::string_view name = "sqrt";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sqrt(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::sqrt(v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct RsqrtCase : PointwiseShapes {
  static constexpr std::string_view name = "rsqrt";
  template <class T>
  static auto run(Tensor<T, 2> x) { return rsqrt(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 1 / std::sqrt(v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct SinCase : PointwiseShapes {
  static constexpr std::string_view name = "sin";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sin(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::sin(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct CosCase : PointwiseShapes {
  static constexpr std::string_view name = "cos";
  template <class T>
  static auto run(Tensor<T, 2> x) { return cos(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::cos(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct TanhCase : PointwiseShapes {
  static constexpr std::string_view name = "tanh";
  template <class T>
  static auto run(Tensor<T, 2> x) { return tanh(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::tanh(v); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct SigmoidCase : PointwiseShapes {
  static constexpr std::string_view name = "sigmoid";
  template <class T>
  static auto run(Tensor<T, 2> x) { return sigmoid(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 1 / (1 + std::exp(-v)); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

}  // namespace fg::test
