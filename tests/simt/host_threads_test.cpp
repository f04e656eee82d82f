// A host thread for each CUDA thread, under ThreadSanitizer: correct kernels pass without a word, a missing barrier is found.
// Run with `race` it launches the kernel without the barrier; ThreadSanitizer then ends the program with its report.
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda/ptx.cuh"
#include "cuda/warp.cuh"

using namespace fg::cuda;

namespace {

template <bool kBarrier>
__global__ void reverse(const float* x, float* y) {
  __shared__ float tile[64];
  const int i = int(blockIdx.x * 64 + threadIdx.x);
  tile[threadIdx.x] = x[i];
  if (kBarrier) __syncthreads();
  y[i] = tile[63 - threadIdx.x];
}

__global__ void sums(const float* x, float* y, int n) {
  float* copy = dynamic_shared<float>();
  cp_async<4>(&copy[threadIdx.x], x + blockIdx.x * blockDim.x + threadIdx.x);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  const float sum = block_sum(copy[(threadIdx.x + 1) % blockDim.x]) + block_max(copy[threadIdx.x]);
  if (int(threadIdx.x) >= n) return;  // the barrier after this is for those that stay
  const int left = __syncthreads_count(1);
  y[blockIdx.x * blockDim.x + threadIdx.x] = sum + float(left);
}

__global__ void halves(int* out) {
  const unsigned half = threadIdx.x / 16, mask = half == 0 ? 0xffffu : 0xffff0000u;
  int v = int(threadIdx.x);
  for (unsigned i = 0; i < 1 + half; ++i) v += __shfl_xor_sync(mask, v, 1);  // not equally often
  out[threadIdx.x] = v + int(__reduce_max_sync(mask, v));
}

bool expect(bool good, const char* what) {
  if (!good) std::printf("failed: %s\n", what);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<float> x(256), y(256);
  for (int i = 0; i < 256; ++i) x[std::size_t(i)] = float(i);
  if (argc > 1 && std::strcmp(argv[1], "race") == 0) {
    launch(reverse<false>, Grid{4, 64}, x.data(), y.data());
    return 0;
  }
  bool good = true;
  launch(reverse<true>, Grid{4, 64}, x.data(), y.data());
  for (int i = 0; i < 256; ++i) good &= expect(y[std::size_t(i)] == float(i / 64 * 64 + 63 - i % 64), "reverse");
  launch(sums, Grid{2, 128, 128 * sizeof(float)}, x.data(), y.data(), 100);
  for (int b = 0; b < 2; ++b)
    for (int i = 0; i < 100; ++i) good &= expect(y[std::size_t(128 * b + i)] == float(128 * 127 / 2 + b * 128 * 128 + 128 * b + 127 + 100), "sums");
  int out[32];
  launch(halves, Grid{1, 32}, out);
  for (int i = 0; i < 32; ++i) {
    const int pair = i / 2 * 4 + 1, v = i < 16 ? pair : 2 * pair;
    good &= expect(out[i] == v + (i < 16 ? 29 : 2 * 61), "halves");
  }
  try {
    launch(halves, Grid{1, 20}, out);
    good = expect(false, "a mask with lanes that don't exist");
  } catch (const fg::simt::Fault&) {
  }
  if (good) std::puts("all correct");
  return good ? 0 : 1;
}
