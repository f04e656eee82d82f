#pragma once

#include <framegrad/ops/dropout.hpp>

#include "op_case.hpp"

namespace fg::test {

struct DropoutCase {
  static constexpr std::string_view name = "dropout";
  template <class T>
  static auto run(Tensor<T, 2> x) {
    RandomState::instance().begin_step(0x123456789abcdefu, 7);
    const auto first = dropout(x, 0.3f, true), second = dropout(x, 0.3f, true);
    return std::tuple(first, second, dropout(x, 0.3f, false));
  }
  static std::tuple<Tensor<double, 2>, Tensor<double, 2>, Tensor<double, 2>> reference(Tensor<double, 2> x) {
    const auto masked = [&](std::uint32_t stream) {
      const auto y = empty<double>({x.size(0), x.size(1)});
      for (Index i = 0; i < x.count(); ++i) {
        const float u = philox_uniform(0x123456789abcdefu, stream, 7, std::uint64_t(i));
        y.data()[i] = u < 0.3f ? 0 : x.data()[i] / (1 - double(0.3f));
      }
      return y;
    };
    return {masked(0x80000000u), masked(0x80000001u), x};
  }
  static inline const Cases correct = {{{1, 1}}, {{3, 33}}, {{5, 70}}};
  static inline const Cases timed = {{{4096, 1152}}};
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
