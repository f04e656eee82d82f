#pragma once

#include <tuple>

#include <framegrad/ops/reduce.hpp>

#include "op_case.hpp"

namespace fg::test {

struct ReduceSumCase {  // what stays is turned around and joined
  static constexpr std::string_view name = "reduce_sum";
  template <class T>
  static auto run(Tensor<T, 4> x) { return reduce<"b t s d -> (d b) 1", Sum>(x); }
  static Tensor<double, 2> reference(Tensor<double, 4> x) {
    const auto y = zeros<double>({x.size(3) * x.size(0), 1});
    for (Index b = 0; b < x.size(0); ++b)
      for (Index t = 0; t < x.size(1); ++t)
        for (Index s = 0; s < x.size(2); ++s)
          for (Index d = 0; d < x.size(3); ++d) y(d * x.size(0) + b, 0) += x(b, t, s, d);
    return y;
  }
  static double terms(const Shapes& s) { return double(s[0][1] * s[0][2]); }
  static inline const Cases correct = {{{2, 3, 4, 5}}, {{1, 2, 1, 33}}};
  static inline const Cases threads = {{{3, 30, 40, 50}}};
};

struct ReduceMeanCase {  // pooling: windows of 2×3
  static constexpr std::string_view name = "reduce_mean";
  template <class T>
  static auto run(Tensor<T, 3> x) { return reduce<"c (h i) (w j) -> c h w", Mean>(x, axis<"i">(2), axis<"j">(3)); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    const auto y = zeros<double>({x.size(0), x.size(1) / 2, x.size(2) / 3});
    for (Index c = 0; c < x.size(0); ++c)
      for (Index h = 0; h < x.size(1); ++h)
        for (Index v = 0; v < x.size(2); ++v) y(c, h / 2, v / 3) += x(c, h, v) / 6;
    return y;
  }
  static double terms(const Shapes&) { return 6; }
  static inline const Cases correct = {{{2, 4, 9}}, {{1, 2, 3}}};
  static inline const Cases reject = {{{2, 5, 9}}, {{2, 4, 8}}};
  static inline const Cases threads = {{{8, 100, 99}}};
  static constexpr bool composed = true;
};

struct ReduceMaxCase {
  static constexpr std::string_view name = "reduce_max";
  template <class T>
  static auto run(Tensor<T, 3> x) { return std::tuple(reduce<"b n d -> d", Max>(x), reduce<"b n d -> b d", Min>(x)); }
  static std::tuple<Tensor<double, 1>, Tensor<double, 2>> reference(Tensor<double, 3> x) {
    const auto top = full<double>({x.size(2)}, -1e9);
    const auto low = full<double>({x.size(0), x.size(2)}, 1e9);
    for (Index b = 0; b < x.size(0); ++b)
      for (Index n = 0; n < x.size(1); ++n)
        for (Index d = 0; d < x.size(2); ++d) top(d) = std::max(top(d), x(b, n, d)), low(b, d) = std::min(low(b, d), x(b, n, d));
    return {top, low};
  }
  static double input(int which, Index i) { return distinct(which, i); }
  static inline const Cases correct = {{{2, 5, 7}}, {{1, 1, 3}}};
  static inline const Cases threads = {{{8, 100, 30}}};
};

}  // namespace fg::test
