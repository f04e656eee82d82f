#pragma once

#include <cmath>

#include <framegrad/ops/gaussian_kl.hpp>

#include "op_case.hpp"

namespace fg::test {

struct GaussianKlCase {
  static constexpr std::string_view name = "gaussian_kl";
  template <class T>
  static auto run(Tensor<T, 3> mean_q, Tensor<T, 3> log_var_q, Tensor<T, 3> mean_p, Tensor<T, 3> log_var_p) { return gaussian_kl(mean_q, log_var_q, mean_p, log_var_p); }
  static Tensor<double, 3> reference(Tensor<double, 3> mq, Tensor<double, 3> lq, Tensor<double, 3> mp, Tensor<double, 3> lp) {
    const auto y = empty<double>({mq.size(0), mq.size(1), mq.size(2)});
    for (Index i = 0; i < mq.size(0); ++i)
      for (Index j = 0; j < mq.size(1); ++j)
        for (Index k = 0; k < mq.size(2); ++k) {
          const double l = lq(i, lq.size(1) == 1 ? 0 : j, lq.size(2) == 1 ? 0 : k), d = mq(i, j, k) - mp(i, j, k);
          y(i, j, k) = 0.5 * (-1 + lp(i, j, k) - l + std::exp(l - lp(i, j, k)) + d * d * std::exp(-lp(i, j, k)));
        }
    return y;
  }
  static constexpr bool composed = true;
  static constexpr double ulps = 32;  // terms about 1 whose sum is small
  static inline const Cases correct = {{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {{2, 3, 5}, {2, 1, 1}, {2, 3, 5}, {2, 3, 5}}};  // variances of a sample each
  static inline const Cases reject = {{{2, 3, 5}, {3, 1, 1}, {2, 3, 5}, {2, 3, 5}}};
  static inline const Cases threads = {{{2, 4, 20000}, {2, 1, 1}, {2, 4, 20000}, {2, 4, 20000}}};
};

}  // namespace fg::test
