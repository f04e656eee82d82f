// What a build without instrumentation reports: who waits for whom in vain, launches that no GPU takes, misaligned wrappers.
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <vector>

#include "cuda/ptx.cuh"

using namespace fg::cuda;

namespace {

std::string fault_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const fg::simt::Fault& e) {
    return e.what();
  }
  return "(no fault)";
}
void expect_in(const std::string& s, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(s.find(part), std::string::npos) << "no \"" << part << "\" in: " << s;
}

__global__ void wrong_collective(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(~0u, 1, 1);
  else out[threadIdx.x] = int(__ballot_sync(~0u, 1));
}
TEST(Faults, DivergentShuffle) {
  int out[32];
  const std::string s = fault_of([&] { launch(wrong_collective, Grid{1, 32}, out); });
  expect_in(s, {"wrong_collective", "block (0,0,0)", "thread (16,0,0)", "__ballot_sync", "lanes 0-15", "__shfl_xor_sync", "faults_test.cpp:"});
}

__global__ void lane_returned(int* out, int n) {
  if (int(threadIdx.x) >= n) return;
  out[threadIdx.x] = __shfl_down_sync(~0u, 1, 1);
}
TEST(Faults, LaneOfTheMaskReturned) {
  int out[32];
  expect_in(fault_of([&] { launch(lane_returned, Grid{1, 32}, out, 30); }), {"lane_returned", "thread (30,0,0)", "returned while lanes 0-29", "__shfl_down_sync"});
  EXPECT_EQ(fault_of([&] { launch(lane_returned, Grid{1, 32}, out, 32); }), "(no fault)");
}
TEST(Faults, LaneOfTheMaskDoesNotExist) {
  int out[32];
  expect_in(fault_of([&] { launch(lane_returned, Grid{1, 40}, out, 40); }), {"thread (32,0,0)", "lanes 8-31 of the mask returned or never existed"});
}

__global__ void outside_mask(int* out) { out[threadIdx.x] = __shfl_sync(0xffffu, 1, 0); }
TEST(Faults, LaneOutsideItsMask) {
  int out[32];
  expect_in(fault_of([&] { launch(outside_mask, Grid{1, 32}, out); }), {"thread (16,0,0)", "not in its mask"});
}

__global__ void source_outside_mask(int* out) {
  if (threadIdx.x < 4) out[threadIdx.x] = __shfl_sync(0xfu, 1, 5);
}
TEST(Faults, SourceOutsideTheMask) {
  int out[32];
  expect_in(fault_of([&] { launch(source_outside_mask, Grid{1, 32}, out); }), {"reads lane 5", "not in the mask"});
}

__global__ void two_barriers(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
    out[0] = 1;
  } else {
    __syncthreads();
    out[1] = 1;
  }
}
TEST(Faults, BarriersAtDifferentLines) {
  int out[2];
  expect_in(fault_of([&] { launch(two_barriers, Grid{1, 64}, out); }), {"two_barriers", "thread (32,0,0)", "32 threads of the block wait at another barrier"});
}

__global__ void barrier_and_shuffle(int* out) {
  if (threadIdx.x % 32 < 8) __syncthreads();
  out[threadIdx.x] = __shfl_sync(~0u, 1, 0);
}
TEST(Faults, Deadlock) {
  int out[64];
  expect_in(fault_of([&] { launch(barrier_and_shuffle, Grid{1, 64}, out); }),
            {"barrier_and_shuffle", "deadlock", "threads 0-7 wait in __syncthreads", "threads 8-31 wait in __shfl_sync", "for lanes 0-7 of mask 0xffffffff", "threads 40-63"});
}

__global__ void throws(int limit) {
  __syncthreads();
  if (int(blockIdx.x * blockDim.x + threadIdx.x) == limit) throw std::out_of_range("thread has no work");
  __syncthreads();
}
TEST(Faults, AnExceptionOfAThreadIsTheLaunchs) {
  EXPECT_THROW(launch(throws, Grid{100, 64}, 4000), std::out_of_range);
  EXPECT_NO_THROW(launch(throws, Grid{100, 64}, -1));  // and the next launch is not harmed
}

__global__ void nothing() {}
TEST(Faults, LaunchesThatNoGpuTakes) {
  expect_in(fault_of([] { launch(nothing, Grid{1, 1025}); }), {"nothing", "1025", "1 to 1024 threads"});
  expect_in(fault_of([] { launch(nothing, Grid{1, dim3(1, 1, 65)}); }), {"z to 64"});
  expect_in(fault_of([] { launch(nothing, Grid{0, 32}); }), {"(0,1,1) blocks"});
  expect_in(fault_of([] { launch(nothing, Grid{dim3(1, 65536), 32}); }), {"65535"});
  expect_in(fault_of([] { launch(nothing, Grid{1, 32, fg::simt::kMaxShared + 1}); }), {"232449 bytes of dynamic shared memory"});
  EXPECT_EQ(fault_of([] { launch(nothing, Grid{1, 1024, fg::simt::kMaxShared}); }), "(no fault)");
}

__global__ void launches() { launch(nothing, Grid{1, 1}); }
TEST(Faults, AKernelLaunchesAKernel) { expect_in(fault_of([] { launch(launches, Grid{1, 1}); }), {"launches a kernel"}); }

__global__ void writes_behind() { dynamic_shared<int>()[threadIdx.x + 1] = 1; }
TEST(Faults, WriteBehindDynamicSharedMemory) {
  expect_in(fault_of([] { launch(writes_behind, Grid{2, 32, 32 * sizeof(int)}); }), {"writes_behind", "wrote behind its 128 bytes"});
}

__global__ void load_vector(const float* x, float* y) { y[threadIdx.x] = __uint_as_float(load16(x + threadIdx.x).x); }
__global__ void copy_vector(const float* x, float* y) {
  __shared__ __align__(16) float tile[64];
  cp_async<8>(&tile[2 * threadIdx.x + 1], x);
  y[0] = 0;
}
__global__ void load_rows(unsigned* y) {
  __shared__ __align__(16) unsigned short tile[32 * 9];
  ldmatrix_x4(y, &tile[threadIdx.x * 9]);
}
TEST(Faults, MisalignedVectors) {
  alignas(16) float x[64] = {}, y[64];
  unsigned r[4];
  expect_in(fault_of([&] { launch(load_vector, Grid{1, 32}, x, y); }), {"load_vector", "thread (1,0,0)", "an access of 16 bytes: the address is 4 beyond a multiple of 16"});
  expect_in(fault_of([&] { launch(copy_vector, Grid{1, 32}, x, y); }), {"copy_vector", "cp.async of 8 bytes", "shared memory is not aligned"});
  expect_in(fault_of([&] { launch(load_rows, Grid{1, 32}, r); }), {"load_rows", "ldmatrix", "row of lane 1 is not aligned to 16 bytes"});
}

}  // namespace
