#pragma once

#include <framegrad/ops/cat.hpp>

#include "op_case.hpp"

namespace fg::test {

struct CatCase {
  static constexpr std::string_view name = "cat";
  template <class T>
  static auto run(std::vector<Tensor<T, 3>> xs) { return cat(xs, 1); }
  static Tensor<double, 3> reference(std::vector<Tensor<double, 3>> xs) {
    Index rows = 0, at = 0;
    for (const auto& x : xs) rows += x.size(1);
    auto y = empty<double, 3>({xs[0].size(0), rows, xs[0].size(2)});
    for (const auto& x : xs) {
      for (Index i = 0; i < x.size(0); ++i)
        for (Index j = 0; j < x.size(1); ++j)
          for (Index k = 0; k < x.size(2); ++k) y(i, at + j, k) = x(i, j, k);
      at += x.size(1);
    }
    return y;
  }
  static inline const Cases correct = {{{2, 3, 5}, {2, 1, 5}, {2, 4, 5}}, {{1, 2, 3}}, {{1, 2, 3}, {1, 0, 3}}};
  static inline const Cases reject = {{{2, 3, 5}, {2, 3, 4}}, {{2, 3, 5}, {1, 3, 5}}};
  static inline const Cases threads = {{{2, 226, 512}, {2, 100, 512}}};
  static inline const Cases timed = {{{2, 226, 1920}, {2, 5400, 1920}}};  // CogVideoX-2B: text and film
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0]) + count(s[1])); }
};

struct CatLastCase {
  static constexpr std::string_view name = "cat_last";
  template <class T>
  static auto run(Tensor<T, 2> a, Tensor<T, 2> b) { return cat({a, b}, -1); }
  static inline const Cases correct = {{{3, 5}, {3, 2}}};
  static inline const Cases threads = {{{4096, 128}, {4096, 128}}};
};

struct TileCase {
  static constexpr std::string_view name = "tile";
  template <class T>
  static auto run(Tensor<T, 2> x) { return tile(x, 0, 3); }
  static inline const Cases correct = {{{2, 5}}};
  static inline const Cases threads = {{{512, 512}}};
};

}  // namespace fg::test
