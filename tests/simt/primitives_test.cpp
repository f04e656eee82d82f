// What cuda/simt gives a kernel: indices, shared memory, barriers, shuffles, votes, reductions, atomics, under divergence.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "cuda/warp.cuh"

using namespace fg::cuda;

namespace {

__global__ void write_indices(int* out) {
  const int block = int(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
  const int thread = int(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  out[block * int(blockDim.x * blockDim.y * blockDim.z) + thread] = int(blockIdx.z * 100000 + blockIdx.y * 10000 + blockIdx.x * 1000 + threadIdx.z * 100 + threadIdx.y * 10 + threadIdx.x);
}

TEST(Launch, GivesEveryThreadItsIndices) {
  std::vector<int> out(3 * 2 * 4 * 5 * 3 * 2, -1);
  launch(write_indices, Grid{dim3(3, 2, 4), dim3(5, 3, 2)}, out.data());
  for (int bz = 0, i = 0; bz < 4; ++bz)
    for (int by = 0; by < 2; ++by)
      for (int bx = 0; bx < 3; ++bx)
        for (int z = 0; z < 2; ++z)
          for (int y = 0; y < 3; ++y)
            for (int x = 0; x < 5; ++x) ASSERT_EQ(out[std::size_t(i++)], bz * 100000 + by * 10000 + bx * 1000 + z * 100 + y * 10 + x);
}

// grid [n / 32, m / 32], block (32, 8)
template <class T>
__global__ void transpose(const T* x, T* y, int n, int m) {
  __shared__ T tile[32][33];
  for (int r = int(threadIdx.y); r < 32; r += 8) tile[r][threadIdx.x] = x[(int(blockIdx.x) * 32 + r) * m + int(blockIdx.y * 32 + threadIdx.x)];
  __syncthreads();
  for (int r = int(threadIdx.y); r < 32; r += 8) y[(int(blockIdx.y) * 32 + r) * n + int(blockIdx.x * 32 + threadIdx.x)] = tile[threadIdx.x][r];
}

TEST(SharedMemory, StaticBelongsToTheBlock) {
  const int n = 320, m = 192;  // enough blocks for several host threads
  std::vector<double> x(std::size_t(n) * m), y(x.size());
  std::iota(x.begin(), x.end(), 0.0);
  launch(transpose<double>, Grid{dim3(n / 32, m / 32), dim3(32, 8)}, x.data(), y.data(), n, m);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < m; ++j) ASSERT_EQ(y[std::size_t(j * n + i)], x[std::size_t(i * m + j)]);
}

__global__ void reverse_dynamic(float* x, int n) {
  float* s = dynamic_shared<float>();
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) s[i] = x[i];
  __syncthreads();
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) x[i] = s[n - 1 - i];
}
__global__ void read_dynamic(float* x) { x[threadIdx.x] = dynamic_shared<float>()[threadIdx.x]; }

TEST(SharedMemory, DynamicHasTheSizeAskedFor) {
  const int n = fg::simt::kMaxShared / sizeof(float);
  std::vector<float> x(n), y;
  std::iota(x.begin(), x.end(), 0.0f);
  y = x;
  launch(reverse_dynamic, Grid{1, 96, n * sizeof(float)}, x.data(), n);
  std::reverse(y.begin(), y.end());
  EXPECT_EQ(x, y);
}

TEST(SharedMemory, IsNanUntilWritten) {
  float x[32];
  launch(read_dynamic, Grid{1, 32, sizeof x}, x);
  for (const float v : x) EXPECT_TRUE(std::isnan(v));
}

// Lane i of the block's only warp does what its index says, in three groups that never meet.
__global__ void divergent_shuffles(int* out) {
  const int lane = int(threadIdx.x);
  if (lane < 8) {
    out[lane] = __shfl_xor_sync(0x000000ffu, lane, 4);
  } else if (lane % 2 == 0) {
    int sum = lane;
    for (int i = 0; i < lane; ++i) __syncwarp(1u << lane);  // each lane another number of times, alone
    sum = __reduce_add_sync(0x55555500u, sum);
    out[lane] = sum;
  } else {
    out[lane] = int(__ballot_sync(0xaaaaaa00u, lane > 15));
  }
}

TEST(Divergence, GroupsOfLanesGoTheirOwnWays) {
  int out[32];
  launch(divergent_shuffles, Grid{1, 32}, out);
  int even = 0;
  for (int i = 8; i < 32; i += 2) even += i;
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i < 8 ? (i ^ 4) : i % 2 == 0 ? even : int(0xaaaa0000u)) << i;
}

template <class T>
__global__ void shuffle_all(T* out) {
  const int lane = int(threadIdx.x);
  const T v = T(lane * 3);
  out[lane] = __shfl_sync(~0u, v, lane + 5);
  out[32 + lane] = __shfl_up_sync(~0u, v, 3);
  out[64 + lane] = __shfl_down_sync(~0u, v, 3);
  out[96 + lane] = __shfl_xor_sync(~0u, v, 9);
  out[128 + lane] = __shfl_sync(~0u, v, 2, 8);
  out[160 + lane] = __shfl_up_sync(~0u, v, 2, 8);
  out[192 + lane] = __shfl_down_sync(~0u, v, 2, 8);
  out[224 + lane] = __shfl_xor_sync(~0u, v, 8, 8);
}

template <class T> struct Shuffle : testing::Test {};
using Shuffled = testing::Types<int, unsigned, long long, unsigned long long, float, double>;
TYPED_TEST_SUITE(Shuffle, Shuffled);
TYPED_TEST(Shuffle, ReadsTheRightLane) {
  TypeParam out[256];
  launch(shuffle_all<TypeParam>, Grid{1, 32}, out);
  for (int lane = 0; lane < 32; ++lane) {
    const int section = lane & ~7, within = lane & 7;
    const int sources[8] = {(lane + 5) % 32, lane < 3 ? lane : lane - 3, lane + 3 > 31 ? lane : lane + 3, lane ^ 9, section + 2,
                            within < 2 ? lane : lane - 2, within + 2 > 7 ? lane : lane + 2,
                            lane & 8 ? lane ^ 8 : lane};  // bfly: the lower section can be read, the upper can't
    for (int i = 0; i < 8; ++i) EXPECT_EQ(out[32 * i + lane], TypeParam(sources[i] * 3)) << "form " << i << ", lane " << lane;
  }
}

__global__ void votes(unsigned* out) {
  const int lane = int(threadIdx.x);
  out[lane] = __ballot_sync(~0u, lane % 3 == 0);
  out[32 + lane] = unsigned(__any_sync(~0u, lane == 31)) * 2 + unsigned(__any_sync(~0u, lane == 32));
  out[64 + lane] = unsigned(__all_sync(~0u, lane < 32)) * 2 + unsigned(__all_sync(~0u, lane < 31));
  out[96 + lane] = __match_any_sync(~0u, lane / 10);
  out[128 + lane] = unsigned(__reduce_max_sync(~0u, lane - 40)) + unsigned(__reduce_min_sync(~0u, lane - 40)) * 1000;
  out[160 + lane] = __reduce_or_sync(~0u, 1u << lane) - __reduce_and_sync(~0u, ~(1u << lane)) + __reduce_xor_sync(~0u, 5u);
}

TEST(Votes, AndReductions) {
  unsigned out[192];
  launch(votes, Grid{1, 32}, out);
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], 0x49249249u);
    EXPECT_EQ(out[32 + lane], 2u);
    EXPECT_EQ(out[64 + lane], 2u);
    EXPECT_EQ(out[96 + lane], lane < 10 ? 0x3ffu : lane < 20 ? 0xffc00u : lane < 30 ? 0x3ff00000u : 0xc0000000u);
    EXPECT_EQ(out[128 + lane], unsigned(-9) + unsigned(-40) * 1000);
    EXPECT_EQ(out[160 + lane], ~0u);
  }
}

__global__ void barrier_votes(int* out, int n) {
  if (int(threadIdx.x) >= n) return;  // barriers are for the threads that are left
  out[0] = __syncthreads_count(threadIdx.x % 3 == 0);
  out[1] = __syncthreads_and(threadIdx.x < 90);
  out[2] = __syncthreads_and(threadIdx.x < 70);
  out[3] = __syncthreads_or(threadIdx.x == 69);
  out[4] = __syncthreads_or(threadIdx.x == 95);
}

TEST(Barrier, CountsTheThreadsThatAreLeft) {
  int out[5];
  launch(barrier_votes, Grid{1, 96}, out, 80);
  EXPECT_EQ(out[0], 27);
  EXPECT_EQ(out[1], 1);
  EXPECT_EQ(out[2], 0);
  EXPECT_EQ(out[3], 1);
  EXPECT_EQ(out[4], 0);
}

__global__ void rounds(int* out) {  // a token goes round the block: each barrier separates two steps
  __shared__ int token;
  if (threadIdx.x == 0) token = 0;
  for (unsigned i = 0; i < blockDim.x; ++i) {
    __syncthreads();
    if (threadIdx.x == i) token = token * 3 % 1009 + int(i);
  }
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = token;
}

TEST(Barrier, SeparatesSteps) {
  std::vector<int> out(20 * 160);
  launch(rounds, Grid{20, 160}, out.data());
  int token = 0;
  for (int i = 0; i < 160; ++i) token = token * 3 % 1009 + i;
  for (const int v : out) ASSERT_EQ(v, token);
}

__global__ void atomics(int* i, unsigned* u, unsigned long long* l, float* f, double* d) {
  const int t = int(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&i[0], t), atomicMax(&i[1], t), atomicMin(&i[2], -t), atomicSub(&i[3], 1);
  atomicOr(&u[0], 1u << (t % 32)), atomicAnd(&u[1], ~(1u << (t % 16))), atomicXor(&u[2], unsigned(t)), atomicInc(&u[3], 6);
  atomicAdd(l, 1ull << 33);
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  for (unsigned old = u[4], seen; (seen = atomicCAS(&u[4], old, old + 2)) != old;) old = seen;
  atomicExch(&u[5], 7u);
}

TEST(Atomics, OfAllThreadsOfAllBlocks) {
  int i[4] = {0, 0, 0, 0};
  unsigned u[6] = {0, ~0u, 0, 0, 0, 0}, x = 0;
  unsigned long long l = 0;
  float f = 0;
  double d = 0;
  const int n = 64 * 128;
  launch(atomics, Grid{64, 128}, i, u, &l, &f, &d);
  for (int t = 0; t < n; ++t) x ^= unsigned(t);
  EXPECT_EQ(i[0], n * (n - 1) / 2);
  EXPECT_EQ(i[1], n - 1);
  EXPECT_EQ(i[2], 1 - n);
  EXPECT_EQ(i[3], -n);
  EXPECT_EQ(u[0], ~0u);
  EXPECT_EQ(u[1], 0xffff0000u);
  EXPECT_EQ(u[2], x);
  EXPECT_EQ(u[3], unsigned(n % 7));
  EXPECT_EQ(u[4], unsigned(2 * n));
  EXPECT_EQ(u[5], 7u);
  EXPECT_EQ(l, (unsigned long long)(n) << 33);
  EXPECT_EQ(f, 0.5f * n);
  EXPECT_EQ(d, 0.25 * n);
}

__global__ void relay(int* flag, int* out) {  // every thread waits in a loop for the one after it
  const int t = int(threadIdx.x);
  while (t + 1 < int(blockDim.x) && atomicAdd(&flag[t + 1], 0) == 0) {}
  out[t] = atomicAdd(&out[blockDim.x], 1);
  __threadfence();
  atomicExch(&flag[t], 1);
}

TEST(Atomics, AThreadThatSpinsLetsOthersRun) {
  std::vector<int> flag(64), out(65);
  launch(relay, Grid{1, 64}, flag.data(), out.data());
  for (int t = 0; t < 64; ++t) EXPECT_EQ(out[std::size_t(t)], 63 - t);
}

__global__ void sums(const float* x, float* out) {
  const int t = int(blockIdx.x * blockDim.x * blockDim.y + threadIdx.y * blockDim.x + threadIdx.x);
  float two[2] = {x[t], -2 * x[t]};
  out[4 * t] = warp_max(x[t]);
  out[4 * t + 1] = block_sum(x[t]);
  out[4 * t + 2] = block_max(x[t]);
  block_sums(two);
  out[4 * t + 3] = two[0] + two[1];
}

TEST(Warp, SumsAndMaximaOfWarpAndBlock) {
  std::vector<float> x(2 * 160), out(4 * x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(int(i * 37 % 101) - 70);
  launch(sums, Grid{2, dim3(32, 5)}, x.data(), out.data());
  for (std::size_t t = 0; t < x.size(); ++t) {
    const auto warp = x.begin() + std::ptrdiff_t(t / 32 * 32), block = x.begin() + std::ptrdiff_t(t / 160 * 160);
    EXPECT_EQ(out[4 * t], *std::max_element(warp, warp + 32));
    EXPECT_EQ(out[4 * t + 1], std::accumulate(block, block + 160, 0.0f));
    EXPECT_EQ(out[4 * t + 2], *std::max_element(block, block + 160));
    EXPECT_EQ(out[4 * t + 3], -std::accumulate(block, block + 160, 0.0f));
  }
}

__global__ void float_sum(const float* x, float* out) { out[blockIdx.x * blockDim.x + threadIdx.x] = block_sum(x[blockIdx.x * blockDim.x + threadIdx.x]); }

TEST(Launch, GivesTheSameBitsForAnyNumberOfHostThreads) {
  std::vector<float> x(256 * 64), one(x.size()), two(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / float(1 + i % 997);
  const int before = fg::threads();
  fg::set_threads(1);
  launch(float_sum, Grid{64, 256}, x.data(), one.data());
  fg::set_threads(3);
  launch(float_sum, Grid{64, 256}, x.data(), two.data());
  fg::set_threads(before);
  EXPECT_EQ(0, std::memcmp(one.data(), two.data(), one.size() * sizeof(float)));
}

}  // namespace
