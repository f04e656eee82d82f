// Sinusoids: where a token is, and what time it is.
//
//   sincos(p)_i = sin(p·ω_i) for i < D/2, then cos(p·ω_i)     ω_i = 10000^(−i/(D/2))     Vaswani et al. (arXiv:1706.03762) §3.5
//
// The timestep's features have the cosines first, as in DiT's released code. Tables are computed in f64 and rounded once.
#pragma once

#include <cmath>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// The D numbers of position p: all sines, then all cosines. D is even.
inline void sincos(double p, Index D, double* out) {
  for (Index i = 0; i < D / 2; ++i) {
    const double omega = std::pow(10000.0, -double(i) / double(D / 2));
    out[i] = std::sin(p * omega), out[D / 2 + i] = std::cos(p * omega);
  }
}

/// Rows p·step, p = 0 … n−1 → [n, D].
template <class T>
Tensor<T, 2> sincos_table(Index n, Index D, double step) {
  check_shape(D % 2 == 0, "sincos_table", "D is ", D, ", an even width is needed");
  auto table = empty<T, 2>({n, D});
  std::vector<double> row(static_cast<std::size_t>(D));
  for (Index p = 0; p < n; ++p) {
    sincos(double(p) * step, D, row.data());
    for (Index c = 0; c < D; ++c) table.data()[p * D + c] = T(row[std::size_t(c)]);
  }
  return table;
}

/// Tokens of an H×W grid, row by row → [H·W, D]. The first half of a row is the column's position, the second the row's;
/// positions are index / scale, rounded to f32 as the released code has them.
template <class T>
Tensor<T, 2> grid_table(Index H, Index W, Index D, double scale) {
  check_shape(D % 4 == 0, "grid_table", "D is ", D, ", a multiple of 4 is needed");
  auto table = empty<T, 2>({H * W, D});
  std::vector<double> half(static_cast<std::size_t>(D / 2));
  for (Index s = 0; s < H * W; ++s) {
    T* row = table.data() + s * D;
    for (int part = 0; part < 2; ++part) {
      sincos(double(float(double(part == 0 ? s % W : s / W) / scale)), D / 2, half.data());
      for (Index c = 0; c < D / 2; ++c) row[part * (D / 2) + c] = T(half[std::size_t(c)]);
    }
  }
  return table;
}

/// t [B], on the host → [B, D]: cos(t·f_i), then sin(t·f_i), f_i = exp(−ln(10000)·i/(D/2)), in f32 throughout.
template <class T>
Tensor<T, 2> timestep_features(const Tensor<float, 1>& t, Index D = 256) {
  const Index B = t.size(0), half = D / 2;
  auto features = empty<T, 2>({B, D});
  for (Index b = 0; b < B; ++b)
    for (Index i = 0; i < half; ++i) {
      const float f = std::exp(-std::log(10000.0f) * float(i) / float(half)), angle = t(b) * f;
      features.data()[b * D + i] = T(std::cos(angle)), features.data()[b * D + half + i] = T(std::sin(angle));
    }
  return features;
}

}  // namespace fg::inline FRAMEGRAD_ABI
