#pragma once

#include <cmath>
#include <vector>

#include <framegrad/ops/attention.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/views.hpp>

#include "op_case.hpp"

namespace fg::test {

/// The definition for inputs [A, N, heads·d] and [A, M, heads·d], a row of scores at a time.
inline Tensor<double, 3> plain_attention(const Tensor<double, 3>& q, const Tensor<double, 3>& k, const Tensor<double, 3>& v, Index heads,
                                         const std::optional<Tensor<std::int32_t, 1>>& lengths, const std::optional<Tensor<double, 4>>& bias,
                                         const std::optional<Tensor<std::uint8_t, 4>>& mask) {
  const Index N = q.size(1), M = k.size(1), d = q.size(2) / heads;
  const auto at = [](const auto& t, Index a, Index h, Index n, Index m) {
    return t(t.size(0) == 1 ? 0 : a, t.size(1) == 1 ? 0 : h, t.size(2) == 1 ? 0 : n, t.size(3) == 1 ? 0 : m);
  };
  const auto y = zeros<double>({q.size(0), N, q.size(2)});
  for (Index a = 0; a < q.size(0); ++a)
    for (Index h = 0; h < heads; ++h)
      for (Index n = 0; n < N; ++n) {
        std::vector<double> p(std::size_t(M), 0.0);
        double sum = 0;
        for (Index m = 0; m < M; ++m) {
          if ((lengths && m >= (*lengths)(a)) || (mask && !at(*mask, a, h, n, m))) continue;
          double s = 0;
          for (Index i = 0; i < d; ++i) s += q(a, n, h * d + i) * k(a, m, h * d + i);
          sum += p[std::size_t(m)] = std::exp(s / std::sqrt(double(d)) + (bias ? at(*bias, a, h, n, m) : 0));
        }
        for (Index m = 0; m < M && sum > 0; ++m)
          for (Index i = 0; i < d; ++i) y(a, n, h * d + i) += p[std::size_t(m)] / sum * v(a, m, h * d + i);
      }
  return y;
}

/// Key lengths from 1 to M, masks of zeros and ones.
inline double attention_input(int which, Index i, const Shapes& s) {
  if (which == 3) return 1 + integer(which, i, s[1][1]);
  if (which == 5) return integer(which, i, 3) ? 1 : 0;
  return uniform(which, i);
}

struct AttentionCase {
  static constexpr std::string_view name = "attention";
  template <class T>
  static auto run(Tensor<T, 3> q, Tensor<T, 3> k, Tensor<T, 3> v) { return attention(q, k, v, 2); }
  static Tensor<double, 3> reference(Tensor<double, 3> q, Tensor<double, 3> k, Tensor<double, 3> v) { return plain_attention(q, k, v, 2, {}, {}, {}); }

  static inline const Cases correct = {{{2, 5, 12}, {2, 5, 12}, {2, 5, 12}}, {{1, 3, 34}, {1, 40, 34}, {1, 40, 34}}, {{1, 1, 2}, {1, 1, 2}, {1, 1, 2}}};
  static inline const Cases reject = {{{2, 5, 12}, {2, 5, 12}, {2, 4, 12}}, {{2, 5, 12}, {1, 5, 12}, {1, 5, 12}}, {{2, 5, 13}, {2, 5, 13}, {2, 5, 13}}};
  static inline const Cases timed = {{{16, 256, 144}, {16, 256, 144}, {16, 256, 144}}};  // STDiT-XL/2: two heads of 16 frames of 256×256
  static double flops(const Shapes& s) { return 4.0 * double(count(s[0])) * double(s[1][1]); }
};

struct AttentionMaskedCase {  // key lengths, a bias with a gradient, a mask; each alone, all together, repeated over an axis
  static constexpr std::string_view name = "attention_masked";
  template <class T>
  static auto run(Tensor<T, 3> q, Tensor<T, 3> k, Tensor<T, 3> v, std::optional<Tensor<std::int32_t, 1>> lengths, std::optional<Tensor<T, 4>> bias,
                  std::optional<Tensor<std::uint8_t, 4>> mask) {
    AttentionOptions<T> o;
    o.key_lengths = lengths, o.bias = bias, o.mask = mask;
    return attention(q, k, v, 2, o);
  }
  static Tensor<double, 3> reference(Tensor<double, 3> q, Tensor<double, 3> k, Tensor<double, 3> v, std::optional<Tensor<std::int32_t, 1>> lengths,
                                     std::optional<Tensor<double, 4>> bias, std::optional<Tensor<std::uint8_t, 4>> mask) {
    return plain_attention(q, k, v, 2, lengths, bias, mask);
  }
  static double input(int which, Index i, const Shapes& s) { return attention_input(which, i, s); }

  static inline const Cases correct = {{{2, 3, 8}, {2, 7, 8}, {2, 7, 8}, {2}, kAbsent, kAbsent},
                                       {{2, 3, 8}, {2, 7, 8}, {2, 7, 8}, kAbsent, {2, 2, 3, 7}, kAbsent},
                                       {{2, 3, 8}, {2, 7, 8}, {2, 7, 8}, kAbsent, {1, 2, 1, 7}, {1, 1, 3, 7}},
                                       {{2, 9, 8}, {2, 5, 8}, {2, 5, 8}, {2}, {2, 1, 9, 1}, {2, 2, 9, 5}}};
  static inline const Cases reject = {{{2, 3, 8}, {2, 7, 8}, {2, 7, 8}, {3}, kAbsent, kAbsent}, {{2, 3, 8}, {2, 7, 8}, {2, 7, 8}, kAbsent, {2, 2, 7, 3}, kAbsent}};
  static inline const Cases threads = {{{3, 64, 48}, {3, 96, 48}, {3, 96, 48}, {3}, {1, 2, 64, 96}, {3, 1, 1, 96}}};
};

/// Heads of a multiple of 8, as tensor cores and AMX take them. Those read the probabilities rounded to T: y is off by ε/2·Σ p·|v| at most, and Σ p = 1, |v| ≤ 1.
/// (Backward the driver grants roundings in between already: those of p and of the scores' gradients.)
inline constexpr double kRoundedProbabilities = 1;

struct AttentionOfWideHeadsCase : AttentionMaskedCase {
  static constexpr std::string_view name = "attention_of_wide_heads";
  static constexpr double rounded_terms = kRoundedProbabilities;
  static inline const Cases correct = {{{2, 5, 16}, {2, 9, 16}, {2, 9, 16}, {2}, {1, 2, 5, 9}, {2, 1, 1, 9}},                // a sequence in one warp
                                       {{1, 20, 80}, {1, 70, 80}, {1, 70, 80}, kAbsent, kAbsent, kAbsent},                   // two tiles of keys
                                       {{2, 70, 16}, {2, 35, 16}, {2, 35, 16}, {2}, {1, 2, 70, 35}, {2, 1, 70, 35}}};        // two tiles of queries
};

struct AttentionOverFramesCase {  // two leading axes, q, k and v slices of one tensor: temporal attention of a joint projection
  static constexpr std::string_view name = "attention_over_frames";
  template <class T>
  static auto run(Tensor<T, 4> qkv) {
    const auto [q, k, v] = chunk<3>(rearrange<"b t s d -> b s t d">(qkv), 3);
    return attention(q, k, v, 2);
  }
  static constexpr double rounded_terms = kRoundedProbabilities;
  static inline const Cases correct = {{{2, 5, 3, 24}}, {{2, 5, 3, 48}}, {{1, 33, 2, 48}}};  // the last two on tensor cores: one warp a sequence, and tiles
  static inline const Cases threads = {{{1, 16, 64, 96}}};
};

}  // namespace fg::test
