// Attention: y[n] = Σ_m p[n, m]·v[m] with p[n] = softmax over m of scale·q[n]·k[m], for each of many sequences (a head of a clip is one).
#pragma once

#include "bench/ladder/rung.hpp"

namespace ladder {

inline constexpr int kHeadDim = 64;

struct Attention {
  int sequences, queries, keys;        // at least one key
  float scale;
  const float *q, *k, *v;              // [sequences, queries, 64], [sequences, keys, 64] twice
  const bf16 *q16, *k16, *v16;         // the same, for the rungs on tensor cores
  float* scores;                       // [sequences, queries, keys], for the rung that keeps them
  float* y;                            // [sequences, queries, 64]

  double flops() const { return 4.0 * sequences * queries * keys * kHeadDim; }
  double least_bytes(bool bf16) const { return double(sequences) * kHeadDim * ((queries + 2.0 * keys) * (bf16 ? 2 : 4) + 4.0 * queries); }
};

inline constexpr float kLog2E = 1.4426950408889634f;

}  // namespace ladder
