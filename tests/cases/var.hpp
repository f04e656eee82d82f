#pragma once

#include <framegrad/ops/var.hpp>

#include "op_case.hpp"

namespace fg::test {

struct VarCase {
  static constexpr std::string_view name = "var";
  template <class T>
  static auto run(Tensor<T, 3> x) { return std::tuple(var<-1>(x), var<0>(x, 0), var(x)); }
  static std::tuple<Tensor<double, 2>, Tensor<double, 2>, Tensor<double, 0>> reference(Tensor<double, 3> x) {
    const auto [I, J, K] = x.shape();
    const auto last = empty<double>({I, J}), first = empty<double>({J, K});
    const auto all = scalar(0.0);
    const auto variance = [](Index n, int correction, auto at) {
      double m = 0, s = 0;
      for (Index i = 0; i < n; ++i) m += at(i) / double(n);
      for (Index i = 0; i < n; ++i) s += (at(i) - m) * (at(i) - m);
      return s / double(n - correction);
    };
    for (Index j = 0; j < J; ++j) {
      for (Index i = 0; i < I; ++i) last(i, j) = variance(K, 1, [&](Index k) { return x(i, j, k); });
      for (Index k = 0; k < K; ++k) first(j, k) = variance(I, 0, [&](Index i) { return x(i, j, k); });
    }
    const double* p = x.data();
    *all.data() = variance(I * J * K, 1, [&](Index i) { return p[i]; });
    return {last, first, all};
  }
  static double input(int which, Index i) { return 3 + uniform(which, i); }  // the mean is well above the deviation
  static inline const Cases correct = {{{2, 3, 4}}, {{3, 2, 70}}, {{1, 1, 2}}, {{18, 2, 40}}};
  static inline const Cases threads = {{{60, 70, 80}}};
};

}  // namespace fg::test
