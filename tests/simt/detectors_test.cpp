// Each detector against a kernel with the bug that it is for, and against the same kernel without it. This file is compiled
// with -fsanitize=thread,alignment; a report has to name the line.
#include "instrumented.hpp"

#include "cuda/ptx.cuh"
#include "cuda/warp.cuh"

namespace {

// ---- races in shared memory

constexpr int kWriteLine = __LINE__ + 4, kReadLine = __LINE__ + 6;
template <bool kBarrier>
__global__ void reverse(const float* x, float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (kBarrier) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}
TEST(Race, MissingBarrierNamesBothLines) {
  Device x(64), y(64);
  expect_in(report_of(reverse<false>, {1, 64}, x, y), {"kernel void (anonymous namespace)::reverse<false>, block (0,0,0), thread (32,0,0)", "race: writes 4 bytes of ", "tile + 128", at(kWriteLine),
                                                       "read by thread (31,0,0) with no barrier between", at(kReadLine)});
  EXPECT_EQ(report_of(reverse<true>, {8, 64}, x, y), "(nothing)");
  EXPECT_EQ(y[0], 63);
}

template <bool kBarrier>
__global__ void loop(float* y) {  // the barrier that separates a round's reads from the next round's writes
  float* tile = dynamic_shared<float>();
  float sum = 0;
  for (int i = 0; i < 4; ++i) {
    tile[threadIdx.x] = float(i);
    __syncthreads();
    sum += tile[(threadIdx.x + 1) % blockDim.x];
    if (kBarrier) __syncthreads();
  }
  y[threadIdx.x] = sum;
}
TEST(Race, MissingSecondBarrierOfALoop) {
  Device y(96);
  expect_in(report_of(loop<false>, {1, 96, 96 * sizeof(float)}, y), {"race: writes 4 bytes of dynamic shared memory + ", "read by thread"});
  EXPECT_EQ(report_of(loop<true>, {1, 96, 96 * sizeof(float)}, y), "(nothing)");
}

template <bool kSync, bool kShuffle>
__global__ void within_warp(float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = float(threadIdx.x);
  if (kSync) __syncwarp();
  if (kShuffle) (void)__shfl_sync(~0u, 1, 0);
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
}
TEST(Race, SyncwarpOrdersAWarpAndAShuffleDoesNot) {
  Device y(64);
  EXPECT_EQ(report_of(within_warp<true, false>, {1, 64}, y), "(nothing)");
  expect_in(report_of(within_warp<false, false>, {1, 64}, y), {"race: "});
  expect_in(report_of(within_warp<false, true>, {1, 64}, y), {"race: "});
}

__global__ void groups(float* y, bool across) {  // two halves of a warp, each with barriers of its own
  __shared__ float tile[32];
  const unsigned half = threadIdx.x / 16;
  tile[threadIdx.x] = 1;
  __syncwarp(half == 0 ? 0x0000ffffu : 0xffff0000u);
  y[threadIdx.x] = tile[across ? (threadIdx.x + 16) % 32 : half * 16 + (threadIdx.x + 1) % 16];
}
TEST(Race, APartialMaskOrdersItsLanesAlone) {
  Device y(32);
  EXPECT_EQ(report_of(groups, {1, 32}, y, false), "(nothing)");
  expect_in(report_of(groups, {1, 32}, y, true), {"race: "});
}

__global__ void count(float* y, bool plain) {
  __shared__ int n;
  if (threadIdx.x == 0) n = 0;
  __syncthreads();
  if (plain && threadIdx.x == 40) n = n + 1;
  else atomicAdd(&n, 1);
  __syncthreads();
  y[threadIdx.x] = float(n);
}
TEST(Race, AtomicsRaceWithPlainAccessesOnly) {
  Device y(64);
  EXPECT_EQ(report_of(count, {1, 64}, y, false), "(nothing)");
  EXPECT_EQ(y[5], 64);
  expect_in(report_of(count, {1, 64}, y, true), {"race: ", "of (anonymous namespace)::count(float*, bool)::n + 0"});
}

__global__ void sums(const float* x, float* y) {
  y[threadIdx.x] = block_sum(x[threadIdx.x]) + block_max(x[threadIdx.x]);
}
TEST(Race, BlockSumsHaveNone) {
  Device x(256), y(256);
  EXPECT_EQ(report_of(sums, {1, 256}, x, y), "(nothing)");
  EXPECT_EQ(y[7], 255 * 128 + 255);
}

// ---- values that are not there

__global__ void partly_written(float* y, int n) {
  float* tile = dynamic_shared<float>();
  if (int(threadIdx.x) < n) tile[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}
TEST(Uninitialised, SharedMemory) {
  Device y(32);
  expect_in(report_of(partly_written, {1, 32, 128}, y, 30), {"thread (31,0,0)", "uninitialised: reads 4 bytes of dynamic shared memory + 124", at(__LINE__ - 4)});
  EXPECT_EQ(report_of(partly_written, {2, 32, 128}, y, 32), "(nothing)");
}

__global__ void keeps(float* y) {  // only the first block to run on a host thread would get away with this
  __shared__ float once;
  if (blockIdx.x == 0) once = 1;
  y[0] = once;
}
TEST(Uninitialised, StaticSharedMemoryOfAnEarlierBlock) {
  Device y(1);
  EXPECT_EQ(report_of(keeps, {1, 1}, y), "(nothing)");
  expect_in(report_of(keeps, {2, 1}, y), {"block (1,0,0)", "uninitialised", "keeps(float*)::once + 0"});
}

constexpr int kIssueLine = __LINE__ + 4;
template <bool kWait, bool kBarrier>
__global__ void copied(const float* x, float* y) {
  __shared__ __align__(16) float tile[256];
  cp_async<16>(&tile[4 * threadIdx.x], x + 4 * threadIdx.x);
  cp_async_commit();
  if (kWait) cp_async_wait<0>();
  if (kBarrier) __syncthreads();
  y[threadIdx.x] = tile[kBarrier ? (4 * threadIdx.x + 4) % 256 : 4 * threadIdx.x];
}
TEST(CpAsync, ReadBeforeItWasWaitedFor) {
  Device x(256), y(64);
  expect_in(report_of(copied<false, false>, {1, 64}, x, y), {"too early: reads 4 bytes", "before the cp.async", "issued by thread (0,0,0)", at(kIssueLine)});
  expect_in(report_of(copied<false, true>, {1, 64}, x, y), {"too early: "});
}
TEST(CpAsync, IsTheThreadsOwnUntilABarrier) {
  Device x(256), y(64);
  EXPECT_EQ(report_of(copied<true, false>, {1, 64}, x, y), "(nothing)");
  EXPECT_EQ(report_of(copied<true, true>, {1, 64}, x, y), "(nothing)");
  EXPECT_EQ(y[3], 16);
}
__global__ void copied_too_late(const float* x, float* y) {
  __shared__ __align__(16) float tile[256];
  cp_async<16>(&tile[4 * threadIdx.x], x + 4 * threadIdx.x);
  cp_async_commit();
  __syncthreads();
  cp_async_wait<0>();  // the barrier came before: others are told nothing
  y[threadIdx.x] = tile[(4 * threadIdx.x + 4) % 256];
}
TEST(CpAsync, WaitAfterTheBarrierIsARace) {
  Device x(256), y(64);
  expect_in(report_of(copied_too_late, {1, 64}, x, y), {"too early: "});
}
__global__ void copied_to_global(const float* x, float* y) { cp_async<4>(y, x); }
TEST(CpAsync, DestinationIsSharedMemory) {
  Device x(4), y(4);
  expect_in(report_of(copied_to_global, {1, 1}, x, y), {"cp.async: the destination is not in shared memory"});
}

// ---- addresses

__global__ void off_by_one(const float* x, float* y, int n) {
  if (int(threadIdx.x) <= n) y[threadIdx.x] = x[threadIdx.x];
}
TEST(Bounds, GlobalMemory) {
  Device x(64), y(40);
  expect_in(report_of(off_by_one, {1, 64}, x, y, 40), {"thread (40,0,0)", "out of bounds: writes 4 bytes 0 bytes behind the end of an allocation of 160 bytes", at(__LINE__ - 4)});
  EXPECT_EQ(report_of(off_by_one, {1, 64}, x, y, 39), "(nothing)");
}
TEST(Bounds, MemoryThatWasFreed) {
  Device y(64);
  float* gone;
  {
    Device x(64);
    gone = x;
  }
  expect_in(report_of(off_by_one, {1, 64}, gone, y, 10), {"thread (0,0,0)", "out of bounds: reads 4 bytes"});
}
TEST(Bounds, HostMemory) {
  float host[64] = {};
  Device y(64);
  expect_in(report_of(off_by_one, {1, 64}, host, y, 10), {"out of bounds: reads 4 bytes in no live allocation"});
}

__global__ void behind_dynamic(float* y, int i) {
  dynamic_shared<float>()[i] = 1;
  y[0] = 0;
}
TEST(Bounds, DynamicSharedMemory) {
  Device y(1);
  expect_in(report_of(behind_dynamic, {1, 1, 64}, y, 16), {"out of bounds: writes 4 bytes at offset 64 of dynamic shared memory, which has 64"});
  EXPECT_EQ(report_of(behind_dynamic, {1, 1, 64}, y, 15), "(nothing)");
}
__global__ void large_static(float* y) {
  __shared__ float tile[13 * 1024];
  for (int i = 0; i < 13 * 1024; ++i) tile[i] = 1;
  y[0] = tile[13 * 1024 - 1];
}
TEST(Bounds, CapacityOfStaticSharedMemory) {
  Device y(1);
  expect_in(report_of(large_static, {1, 1}, y), {"more than 49152 bytes of static shared memory"});
}

__global__ void others_local(float** shared_pointer, float* y) {
  __shared__ float* p;
  float own = float(threadIdx.x);
  if (threadIdx.x == 0) p = &own;
  __syncthreads();
  y[threadIdx.x] = shared_pointer ? 0 : *p;
}
TEST(Bounds, LocalMemoryOfAnotherThread) {
  Device y(32);
  expect_in(report_of(others_local, {1, 32}, nullptr, y), {"in another thread's local memory"});
}

__global__ void vector_load(const float* x, float* y, int offset) {
  const float4 v = *reinterpret_cast<const float4*>(x + offset);
  y[0] = v.x + v.w;
}
__global__ void double_load(const float* x, float* y, int offset) { y[0] = float(*reinterpret_cast<const double*>(x + offset)); }
TEST(Alignment, OfPlainLoads) {
  Device x(64), y(1);
  expect_in(report_of(vector_load, {1, 1}, x, y, 2), {"vector_load", "misaligned: an address 8 beyond a multiple of 16", at(__LINE__ - 6)});
  EXPECT_EQ(report_of(vector_load, {1, 1}, x, y, 4), "(nothing)");
  expect_in(report_of(double_load, {1, 1}, x, y, 1), {"misaligned: an address 4 beyond a multiple of 8"});
}

}  // namespace
