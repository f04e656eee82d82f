#pragma once

#include <framegrad/ops/cast.hpp>

#include "op_case.hpp"

namespace fg::test {

struct CastUpCase {
  static constexpr std::string_view name = "cast_to_float";
  using Types = std::tuple<float, bf16, half>;
  template <class T>
  static auto run(Tensor<T, 2> x) { return cast<float>(x); }
  static double terms(const Shapes&) { return 1; }
  static inline const Cases correct = {{{3, 70}}, {{1, 1}}};
  static inline const Cases timed = {{{4096, 1152}}};
  static double bytes(const Shapes& s, int item) { return (item + 4.0) * double(count(s[0])); }
};

struct CastDownCase {
  static constexpr std::string_view name = "cast_to_bf16";
  using Types = std::tuple<bf16, float, half>;
  template <class T>
  static auto run(Tensor<T, 2> x) { return cast<bf16>(x); }
  static double terms(const Shapes&) { return 1; }
  static inline const Cases correct = {{{3, 70}}};
  static inline const Cases threads = {{{300, 700}}};
};

}  // namespace fg::test
