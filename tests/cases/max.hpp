#pragma once

#include <framegrad/ops/max.hpp>

#include "op_case.hpp"

namespace fg::test {

struct MaxCase {
  static constexpr std::string_view name = "max";
  template <class T>
  static auto run(Tensor<T, 3> x) { return std::tuple(max<-1>(x), min<keepdim, 0, 1>(x), max(x)); }
  static double input(int which, Index i) { return distinct(which, i); }
  static std::tuple<Tensor<double, 2>, Tensor<double, 3>, Tensor<double, 0>> reference(Tensor<double, 3> x) {
    const auto [I, J, K] = x.shape();
    const auto last = full<double>({I, J}, -1e9);
    const auto first = full<double>({1, 1, K}, 1e9);
    const auto all = scalar(-1e9);
    for (Index i = 0; i < I; ++i)
      for (Index j = 0; j < J; ++j)
        for (Index k = 0; k < K; ++k) {
          last(i, j) = std::max(last(i, j), x(i, j, k));
          first(0, 0, k) = std::min(first(0, 0, k), x(i, j, k));
          *all.data() = std::max(*all.data(), x(i, j, k));
        }
    return {last, first, all};
  }
  static inline const Cases correct = {{{2, 3, 5}}, {{1, 1, 300}}, {{1, 1, 1}}};
  static inline const Cases reject = {{{2, 3, 0}}};
  static constexpr bool composed = true;  // three ops: the last one refuses after the others ran
  static inline const Cases threads = {{{60, 70, 80}}};
};

struct ArgmaxCase {
  static constexpr std::string_view name = "argmax";
  template <class T>
  static auto run(Tensor<T, 3> x) { return std::tuple(argmax<-1>(x), argmin<0>(x)); }
  static double input(int, Index i) { return double(i * 7 % 12); }  // exact in every type, with ties: the first one counts
  static std::tuple<Tensor<std::int64_t, 2>, Tensor<std::int64_t, 2>> reference(Tensor<double, 3> x) {
    const auto [I, J, K] = x.shape();
    const auto last = zeros<std::int64_t>({I, J}), first = zeros<std::int64_t>({J, K});
    for (Index i = 0; i < I; ++i)
      for (Index j = 0; j < J; ++j)
        for (Index k = 0; k < K; ++k) {
          if (x(i, j, k) > x(i, j, last(i, j))) last(i, j) = k;
          if (x(i, j, k) < x(first(j, k), j, k)) first(j, k) = i;
        }
    return {last, first};
  }
  static bool differentiable(int) { return false; }
  static inline const Cases correct = {{{2, 3, 5}}, {{4, 2, 40}}};
  static inline const Cases threads = {{{60, 70, 80}}};
};

}  // namespace fg::test
