#pragma once

#include <cmath>

#include <framegrad/ops/discretised_gaussian.hpp>

#include "op_case.hpp"

namespace fg::test {

struct DiscretisedGaussianCase {
  static constexpr std::string_view name = "discretised_gaussian_log_likelihood";
  template <class T>
  static auto run(Tensor<T, 2> x, Tensor<T, 2> mean, Tensor<T, 2> log_var) { return discretised_gaussian_log_likelihood(x, mean, log_var); }
  static Tensor<double, 2> reference(Tensor<double, 2> x, Tensor<double, 2> mean, Tensor<double, 2> log_var) {
    const auto y = empty<double>({x.size(0), x.size(1)});
    const auto cdf = [](double z) { return 0.5 * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (z + 0.044715 * z * z * z))); };
    for (Index i = 0; i < x.count(); ++i) {
      const double v = x.data()[i], a = std::exp(-0.5 * log_var.data()[i]);
      const double p = cdf(a * (v - mean.data()[i] + 1 / 255.0)), q = cdf(a * (v - mean.data()[i] - 1 / 255.0));
      y.data()[i] = std::log(std::max(1e-12, v < -0.999 ? p : v > 0.999 ? 1 - q : p - q));
    }
    return y;
  }
  // Every fifth value beyond an end of the range; no value of P near 1e-12.
  static double input(int which, Index i) {
    if (which == 0 && i % 5 == 0) return i % 2 == 0 ? 1.0625 : -1.0625;
    return which == 2 ? uniform(which, i, -1, 0.5) : uniform(which, i, -0.75, 0.75);
  }
  static constexpr double ulps = 256, backward_ulps = 1024;  // Φ(u₊) − Φ(u₋) is about 1/300 of its terms
  static inline const Cases correct = {{{1, 1}, {1, 1}, {1, 1}}, {{3, 33}, {3, 33}, {3, 33}}};
  static inline const Cases reject = {{{1, 2}, {2, 1}, {1, 2}}, {{1, 2}, {1, 2}, {1, 1}}};
  static inline const Cases threads = {{{64, 1000}, {64, 1000}, {64, 1000}}};
};

}  // namespace fg::test
