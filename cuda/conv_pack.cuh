// What convolution's tiles need of their surroundings: rows and weights in whole packs of 16 bytes, and dw put back where w has it.
//
// A thread owns an element. Bound by memory; weights are small beside what they are multiplied with, and rows are padded only where a group's
// channels don't fill whole packs (latents, pictures).
#pragma once

#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// w, as its tensor has it: steps from an output, an input channel and along the kernel's axes to the next.
struct WeightSteps {
  Index out, in, axis[3];
  int kernel[3];
  __device__ __forceinline__ Index of_tap(int tap) const {
    return tap / (kernel[1] * kernel[2]) * axis[0] + tap / kernel[2] % kernel[1] * axis[1] + tap % kernel[2] * axis[2];
  }
};

// grid [ceil(count / 256)], block 256
template <class T>
__global__ void pad_rows(const T* __restrict__ x,   // [rows, groups, channels]
                         T* __restrict__ padded,    // [rows, groups, depth], zeros behind the channels
                         Index count, int channels, int depth) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int c = int(i % depth);
  padded[i] = c < channels ? x[i / depth * channels + c] : from_float<T>(0.0f);
}

// grid [ceil(count / 256)], block 256. `out` and `in` as the product sees them: backward to the data they are w's in and out
template <class T>
__global__ void pack_weights(const T* __restrict__ w, WeightSteps s, Index group_step,  // from a group's weights to the next
                             T* __restrict__ packed,                                    // [groups, outs, taps, depth], zeros behind the ins
                             Index count, int outs, int ins, int taps, int depth) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int in = int(i % depth), tap = int(i / depth % taps), out = int(i / depth / taps % outs);
  const Index group = i / depth / taps / outs;
  packed[i] = in < ins ? w[group * group_step + out * s.out + in * s.in + s.of_tap(tap)] : from_float<T>(0.0f);
}

// grid [ceil(count / 256)], block 256
template <class T>
__global__ void add_weights(const float* __restrict__ partial,  // [chunks, groups, outs, taps, depth]
                            int chunks, WeightSteps s, Index group_step, T* __restrict__ dw, Index count, int outs, int ins, int taps, int depth) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int in = int(i % depth), tap = int(i / depth % taps), out = int(i / depth / taps % outs);
  if (in >= ins) return;
  float sum = 0.0f;
#pragma unroll 4
  for (int k = 0; k < chunks; ++k) sum += partial[k * count + i];
  dw[i / depth / taps / outs * group_step + out * s.out + in * s.in + s.of_tap(tap)] = from_float<T>(sum);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
