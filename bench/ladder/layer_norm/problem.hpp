// layer_norm over rows: y = (x − μ)·r·γ + β with the row's mean μ and r = 1 / √(variance + eps).
#pragma once

#include "bench/ladder/rung.hpp"

namespace ladder {

struct LayerNorm {
  int rows, C;
  float eps;
  const float *x, *gamma, *beta;  // [rows, C], [C], [C]
  float* y;                       // [rows, C]

  double flops() const { return 8.0 * rows * C; }
  double least_bytes(bool) const { return 8.0 * rows * C; }  // x in, y out; γ and β stay in the caches
};

}  // namespace ladder
