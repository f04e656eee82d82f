// Launcher of dropout (cuda/dropout.cu).
#pragma once

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct DropoutKernels {
  /// y [n] = x [n] / (1 − p) where u ≥ p, else 0; u of element i is value i of Philox(seed, stream, step)
  static void mask(Index n, float p, std::uint64_t seed, std::uint32_t stream, std::uint32_t step, const T* x, T* y);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
