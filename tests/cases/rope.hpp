#pragma once

#include <complex>

#include <framegrad/ops/views.hpp>
#include <framegrad/ops/rope.hpp>

#include "op_case.hpp"

namespace fg::test {

/// Each pair as a complex number, times e^(iθ). `first` and `second` say where a pair's numbers stand.
template <class First, class Second>
Tensor<double, 3> turned(const Tensor<double, 3>& x, Index d, First first, Second second) {
  const auto y = empty<double>({x.size(0), x.size(1), x.size(2)});
  for (Index b = 0; b < x.size(0); ++b)
    for (Index n = 0; n < x.size(1); ++n)
      for (Index h = 0; h < x.size(2); h += d)
        for (Index i = 0; i < d / 2; ++i) {
          const std::complex<double> z(x(b, n, h + first(i)), x(b, n, h + second(i)));
          const auto r = z * std::polar(1.0, double(n) * std::pow(10000.0, -2.0 * double(i) / double(d)));
          y(b, n, h + first(i)) = r.real(), y(b, n, h + second(i)) = r.imag();
        }
  return y;
}
inline Index rope_head_dim(const AnyTensor& x) { return x.size(-1) % 34 == 0 ? 34 : 6; }

struct RopeAdjacentCase {
  static constexpr std::string_view name = "rope_adjacent";
  template <class T>
  static auto run(Tensor<T, 3> x) { return rope<RopeAdjacent>(x, rope_table<accum_t<T>>(x.size(1), rope_head_dim(x))); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    return turned(x, rope_head_dim(x), [](Index i) { return 2 * i; }, [](Index i) { return 2 * i + 1; });
  }
  static double terms(const Shapes&) { return 2; }

  static inline const Cases correct = {{{2, 5, 12}}, {{1, 3, 102}}, {{3, 1, 6}}};  // heads of 6, which fill no vector, and of 34
  static inline const Cases reject = {{{2, 5, 13}}};
  static inline const Cases threads = {{{4, 256, 408}}};
};

struct RopeHalvesCase {
  static constexpr std::string_view name = "rope_halves";
  template <class T>
  static auto run(Tensor<T, 3> x) { return rope<RopeHalves>(x, rope_table<accum_t<T>>(x.size(1), rope_head_dim(x))); }
  static Tensor<double, 3> reference(Tensor<double, 3> x) {
    const Index d = rope_head_dim(x);
    return turned(x, d, [](Index i) { return i; }, [d](Index i) { return d / 2 + i; });
  }
  static double terms(const Shapes&) { return 2; }

  static inline const Cases correct = {{{2, 5, 12}}, {{1, 3, 102}}};
  static inline const Cases reject = {{{2, 5, 13}}};
  static inline const Cases threads = {{{4, 256, 408}}};
};

struct RopeOfASliceCase {  // q of a joint projection [.., 3·D], two leading axes: read, and its gradient written, where it lies
  static constexpr std::string_view name = "rope_of_a_slice";
  template <class T>
  static auto run(Tensor<T, 4> qkv) {
    const Index D = qkv.size(3) / 3;
    return rope<RopeAdjacent>(slice(qkv, 3, D, 2 * D), rope_table<accum_t<T>>(qkv.size(2), 6));
  }
  static double terms(const Shapes&) { return 2; }
  static inline const Cases correct = {{{2, 3, 4, 36}}};
  static inline const Cases timed = {{{1, 16, 256, 3 * 1152}}};
  static double bytes(const Shapes& s, int item) { return 2.0 / 3 * item * double(count(s[0])); }
};

}  // namespace fg::test
