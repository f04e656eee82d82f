// The words that CUDA C++ adds to C++, for a C++20 compiler that does not know them. Part of simt/cuda.hpp: included by
// kernel files alone, so the names reach nobody else.
#pragma once

#define __host__
#define __device__
#define __constant__
#define __grid_constant__
#define __global__ __attribute__((noinline))  // its name stays in backtraces, and a breakpoint finds one place
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))

// A block runs on one host thread, so what the host thread owns is the block's. With a host thread for each CUDA thread
// (SIMT_HOST_THREADS, for ThreadSanitizer) one block runs at a time, and the process owns it.
#ifdef SIMT_HOST_THREADS
#define __shared__ static
#else
#define __shared__ static thread_local
#endif
