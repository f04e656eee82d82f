#pragma once

#include <cmath>

#include <framegrad/ops/group_norm.hpp>
#include <framegrad/ops/rearrange.hpp>

#include "op_case.hpp"

namespace fg::test {

inline Tensor<double, 4> plain_group_norm(const Tensor<double, 4>& x, Index groups, const Tensor<double, 1>& gamma, const Tensor<double, 1>& beta) {
  const auto [N, C, H, W] = x.shape();
  const auto y = empty<double>({N, C, H, W});
  const Index width = C / groups;
  for (Index n = 0; n < N; ++n)
    for (Index g = 0; g < groups; ++g) {
      double mean = 0, squares = 0;
      const double count = double(width * H * W);
      for (int pass = 0; pass < 3; ++pass)
        for (Index c = g * width; c < (g + 1) * width; ++c)
          for (Index h = 0; h < H; ++h)
            for (Index w = 0; w < W; ++w) {
              const double v = x(n, c, h, w);
              if (pass == 0) mean += v / count;
              if (pass == 1) squares += (v - mean) * (v - mean);
              if (pass == 2) y(n, c, h, w) = (v - mean) / std::sqrt(squares / count + double(1e-5f)) * gamma(c) + beta(c);
            }
    }
  return y;
}

inline Tensor<double, 4> silu(const Tensor<double, 4>& y) {
  for (double* p = y.data(); p != y.data() + y.count(); ++p) *p /= 1 + std::exp(-*p);
  return y;
}

struct GroupNormCase {
  static constexpr std::string_view name = "group_norm";
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 1> gamma, Tensor<T, 1> beta) { return group_norm(x, 3, gamma, beta); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 1> gamma, Tensor<double, 1> beta) { return plain_group_norm(x, 3, gamma, beta); }
  static double input(int which, Index i) { return uniform(which, i) + (which == 0 ? 2 : 0); }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{1, 3, 1, 2}, {3}, {3}}, {{2, 6, 3, 5}, {6}, {6}}, {{1, 33, 2, 3}, {33}, {33}}, {{2, 3, 40, 41}, {3}, {3}}};
  static inline const Cases reject = {{{1, 4, 2, 2}, {4}, {4}}, {{1, 3, 2, 2}, {4}, {3}}, {{1, 3, 2, 2}, {3}, {1}}};
  static inline const Cases threads = {{{3, 6, 70, 80}, {6}, {6}}, {{2, 96, 40, 40}, {96}, {96}}};
};

struct GroupNormChannelsLastCase {  // x comes as [N, H, W, C]
  static constexpr std::string_view name = "group_norm of channels-last memory";
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 1> gamma, Tensor<T, 1> beta) { return group_norm_silu(rearrange<"n h w c -> n c h w">(x), 3, gamma, beta); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 1> gamma, Tensor<double, 1> beta) { return silu(plain_group_norm(rearrange<"n h w c -> n c h w">(x), 3, gamma, beta)); }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{1, 1, 2, 3}, {3}, {3}}, {{2, 3, 5, 6}, {6}, {6}}, {{1, 2, 3, 33}, {33}, {33}}, {{2, 40, 41, 3}, {3}, {3}}};
  static inline const Cases threads = {{{3, 70, 80, 6}, {6}, {6}}, {{2, 40, 40, 96}, {96}, {96}}};
};

struct GroupNormLargeGroupCase {  // one group, too large to keep what backward computes on the way
  static constexpr std::string_view name = "group_norm of a large group";
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 1> gamma, Tensor<T, 1> beta) { return group_norm_silu(x, 1, gamma, beta); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 1> gamma, Tensor<double, 1> beta) { return silu(plain_group_norm(x, 1, gamma, beta)); }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{1, 2, 129, 256}, {2}, {2}}};
  static inline const Cases threads = {{{1, 2, 300, 200}, {2}, {2}}};
};

struct GroupNormSiluCase {
  static constexpr std::string_view name = "group_norm_silu";
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 1> gamma, Tensor<T, 1> beta) { return group_norm_silu(x, 32, gamma, beta); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 1> gamma, Tensor<double, 1> beta) {
    return silu(plain_group_norm(x, 32, gamma, beta));
  }
  static double terms(const Shapes& s) { return double(count(s[0])); }
  static inline const Cases correct = {{{1, 32, 3, 2}, {32}, {32}}, {{2, 64, 2, 3}, {64}, {64}}};
  static inline const Cases reject = {{{1, 48, 2, 2}, {48}, {48}}};
  static inline const Cases timed = {{{16, 128, 64, 64}, {128}, {128}}};                       // a decoder's level, 16 frames
  static double bytes(const Shapes& s, int item) { return 2.0 * item * double(count(s[0])); }  // x in, y out
};

}  // namespace fg::test
