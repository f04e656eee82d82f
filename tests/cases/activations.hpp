#pragma once

#include <algorithm>
#include <cmath>

#include <framegrad/ops/abs.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/clamp.hpp>
#include <framegrad/ops/gelu.hpp>
#include <framegrad/ops/gelu_tanh.hpp>
#include <framegrad/ops/pow.hpp>
#include <framegrad/ops/relu.hpp>
#include <framegrad/ops/silu.hpp>

#include "pointwise_case.hpp"

namespace fg::test {

struct SiluCase : PointwiseShapes {
  static constexpr std::string_view name = "silu";
  template <class T>
  static auto run(Tensor<T, 2> x) { return silu(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return v / (1 + std::exp(-v)); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct ReluCase : PointwiseShapes {
  static constexpr std::string_view name = "relu";
  template <class T>
  static auto run(Tensor<T, 2> x) { return relu(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::max(v, 0.0); }); }
  static double input(int which, Index i) { return 4 * distinct(which, i); }
};

struct GeluCase : PointwiseShapes {
  static constexpr std::string_view name = "gelu";
  template <class T>
  static auto run(Tensor<T, 2> x) { return gelu(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 0.5 * v * (1 + std::erf(v * std::sqrt(0.5))); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct GeluTanhCase : PointwiseShapes {
  static constexpr std::string_view name = "gelu_tanh";
  template <class T>
  static auto run(Tensor<T, 2> x) { return gelu_tanh(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 0.5 * v * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (v + 0.044715 * v * v * v))); }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct AbsCase : PointwiseShapes {
  static constexpr std::string_view name = "abs";
  template <class T>
  static auto run(Tensor<T, 2> x) { return abs(x); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::abs(v); }); }
  static double input(int which, Index i) { return 4 * distinct(which, i); }
};

struct ClampCase : PointwiseShapes {
  static constexpr std::string_view name = "clamp";
  template <class T>
  static auto run(Tensor<T, 2> x) { return clamp(x, -0.503, 0.503); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::clamp(v, -0.503, 0.503); }); }
  static double input(int which, Index i) { return distinct(which, i); }  // none of them within 0.001 of a kink
};

struct AffineCase : PointwiseShapes {
  static constexpr std::string_view name = "affine";
  template <class T>
  static auto run(Tensor<T, 2> x) { return affine(x, -0.75, 2); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 2 - 0.75 * v; }); }
  static double input(int which, Index i) { return uniform(which, i, -4, 4); }
};

struct PowWholeCase : PointwiseShapes {
  static constexpr std::string_view name = "pow_3";
  template <class T>
  static auto run(Tensor<T, 2> x) { return pow(x, 3); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return v * v * v; }); }
  static double input(int which, Index i) { return uniform(which, i, -2, 2); }
};

struct PowNegativeCase : PointwiseShapes {
  static constexpr std::string_view name = "pow_minus_2";
  template <class T>
  static auto run(Tensor<T, 2> x) { return pow(x, -2); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return 1 / (v * v); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

struct PowBrokenCase : PointwiseShapes {
  static constexpr std::string_view name = "pow_2_5";
  template <class T>
  static auto run(Tensor<T, 2> x) { return pow(x, 2.5); }
  static Tensor<double, 2> reference(Tensor<double, 2> x) { return each(x, [](double v) { return std::pow(v, 2.5); }); }
  static double input(int which, Index i) { return uniform(which, i, 0.2, 3); }
};

}  // namespace fg::test
