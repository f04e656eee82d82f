#pragma once

#include <algorithm>
#include <cmath>

#include <framegrad/ops/linear.hpp>

#include "op_case.hpp"

namespace fg::test {

/// f(x·wᵀ + b), term by term.
template <class F>
Tensor<double, 3> plain_linear(const Tensor<double, 3>& x, const Tensor<double, 2>& w, const std::optional<Tensor<double, 1>>& b, F f) {
  const auto y = empty<double>({x.size(0), x.size(1), w.size(0)});
  for (Index i = 0; i < x.size(0); ++i)
    for (Index j = 0; j < x.size(1); ++j)
      for (Index n = 0; n < w.size(0); ++n) {
        double s = b ? (*b)(n) : 0;
        for (Index k = 0; k < w.size(1); ++k) s += x(i, j, k) * w(n, k);
        y(i, j, n) = f(s);
      }
  return y;
}
template <class F, class T>
auto biased_or_not(const Tensor<T, 3>& x, const Tensor<T, 2>& w, const std::optional<Tensor<T, 1>>& b) { return b ? linear<F>(x, w, *b) : linear<F>(x, w); }

struct LinearShapes {
  static inline const Cases correct = {{{1, 1, 1}, {1, 1}, {1}}, {{2, 3, 5}, {7, 5}, {7}}, {{3, 5, 33}, {70, 33}, kAbsent},
                                       {{2, 33, 8}, {16, 8}, {16}}};  // whole packs of a GPU; rows in two chunks
  static inline const Cases threads = {{{2, 100, 130}, {150, 130}, {150}}};
  static double terms(const Shapes& s) { return double(std::max(s[1][0], std::max(s[1][1], s[0][0] * s[0][1]))); }
  static double flops(const Shapes& s) { return 2.0 * double(count(s[0])) * double(s[1][0]); }
};

struct LinearCase : LinearShapes {
  static constexpr std::string_view name = "linear";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 2> w, std::optional<Tensor<T, 1>> b) { return biased_or_not<NoActivation>(x, w, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 2> w, std::optional<Tensor<double, 1>> b) {
    return plain_linear(x, w, b, [](double z) { return z; });
  }
  static inline const Cases reject = {{{2, 3, 5}, {7, 4}, {7}}, {{2, 3, 5}, {7, 5}, {5}}};
  static inline const Cases timed = {{{1, 4096, 1152}, {1152, 1152}, {1152}},     // STDiT-XL/2: a projection of attention
                                     {{1, 4096, 4608}, {1152, 4608}, {1152}}};    // and the second layer of its MLP
};

struct LinearGeluCase : LinearShapes {
  static constexpr std::string_view name = "linear_gelu";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 2> w, std::optional<Tensor<T, 1>> b) { return biased_or_not<Gelu>(x, w, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 2> w, std::optional<Tensor<double, 1>> b) {
    return plain_linear(x, w, b, [](double z) { return 0.5 * z * (1 + std::erf(z * std::sqrt(0.5))); });
  }
};

struct LinearGeluTanhCase : LinearShapes {
  static constexpr std::string_view name = "linear_gelu_tanh";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 2> w, std::optional<Tensor<T, 1>> b) { return biased_or_not<GeluTanh>(x, w, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 2> w, std::optional<Tensor<double, 1>> b) {
    return plain_linear(x, w, b, [](double z) { return 0.5 * z * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (z + 0.044715 * z * z * z))); });
  }
  static inline const Cases timed = {{{1, 4096, 1152}, {4608, 1152}, {4608}}};  // STDiT-XL/2: the first layer of its MLP
};

struct LinearSiluCase : LinearShapes {
  static constexpr std::string_view name = "linear_silu";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 2> w, std::optional<Tensor<T, 1>> b) { return biased_or_not<Silu>(x, w, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 2> w, std::optional<Tensor<double, 1>> b) {
    return plain_linear(x, w, b, [](double z) { return z / (1 + std::exp(-z)); });
  }
};

struct LinearReluCase : LinearShapes {
  static constexpr std::string_view name = "linear_relu";
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 2> w, std::optional<Tensor<T, 1>> b) { return biased_or_not<Relu>(x, w, b); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 2> w, std::optional<Tensor<double, 1>> b) {
    return plain_linear(x, w, b, [](double z) { return std::max(z, 0.0); });
  }
  static inline const Cases correct = {{{1, 1, 1}, {1, 1}, {1}}, {{2, 3, 5}, {7, 5}, {7}}, {{2, 3, 33}, {70, 33}, kAbsent}};  // no sum within a step of 0
};

}  // namespace fg::test
