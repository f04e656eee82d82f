// Four numbers, side by side, as one load or store of 16 bytes.
#pragma once

#include "cuda/vector.cuh"

namespace ladder {

using Four = fg::cuda::Pack<float, 4>;

__device__ __forceinline__ Four load4(const float* p) {
  Four f;
  fg::cuda::to_floats<float>(fg::cuda::load16(p), f.v);
  return f;
}
__device__ __forceinline__ void store4(float* p, const Four& f) { fg::cuda::store16(p, fg::cuda::from_floats<float>(f.v)); }

}  // namespace ladder
