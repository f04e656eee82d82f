// The macros (four in all) and the names that everything else starts from.
//
//   FRAMEGRAD_ABI        inline namespace: version and configuration. Mixing two builds fails to link.
//   FRAMEGRAD_INLINE     a function that must be inlined into a kernel, so that it inherits its instruction set
//   FRAMEGRAD_LAMBDA     the same for a lambda: [&](…) FRAMEGRAD_LAMBDA { … }
//   FRAMEGRAD_WITH_CUDA  defined by linking framegrad::cuda (1) or framegrad::simt (2: its kernels on the CPU), and in no other way
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__GNUC__)
#error "framegrad needs GCC 12 or later, or Clang 14 or later"
#endif
#if !defined(__linux__)
#error "framegrad is built and tested on Linux alone"
#endif

#if !defined(FRAMEGRAD_WITH_CUDA)
#define FRAMEGRAD_ABI v0_cpu
#elif FRAMEGRAD_WITH_CUDA == 2
#define FRAMEGRAD_ABI v0_simt
#else
#define FRAMEGRAD_ABI v0_cuda
#endif

#if defined(__CUDACC__)
#define FRAMEGRAD_INLINE __host__ __device__ __forceinline__
#else
#define FRAMEGRAD_INLINE [[gnu::always_inline]] inline
#endif
#define FRAMEGRAD_LAMBDA __attribute__((always_inline))

namespace fg::inline FRAMEGRAD_ABI {

using Index = std::int64_t;

/// Semantic version; CMake reads it from here.
inline constexpr const char* kVersion = "0.1.0";

/// Whether this build has kernels for Device::cuda.
#ifdef FRAMEGRAD_WITH_CUDA
inline constexpr bool kWithCuda = true;
#else
inline constexpr bool kWithCuda = false;
#endif

}  // namespace fg::inline FRAMEGRAD_ABI
