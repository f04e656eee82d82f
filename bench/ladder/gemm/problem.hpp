// The product of two matrices, C = A·B, all of them row-major.
#pragma once

#include "bench/ladder/rung.hpp"

namespace ladder {

struct Gemm {
  int M, N, K;
  const float *a, *b;      // [M, K], [K, N]
  const bf16 *a16, *b16;   // the same, for the rungs on tensor cores
  float* c;                // [M, N]

  double flops() const { return 2.0 * M * N * K; }
  double least_bytes(bool bf16) const { return (double(M) * K + double(K) * N) * (bf16 ? 2 : 4) + 4.0 * M * N; }
};

}  // namespace ladder
