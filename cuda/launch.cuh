// How a kernel is launched, one source for a GPU (nvcc) and for the CPU (any C++20 compiler, cuda/simt).
//
//   launch(kernel, Grid{blocks, threads, shared_bytes}, args...)   on this thread's stream; checked
//   dynamic_shared<T>()                                            the block's dynamic shared memory, aligned to 128
//
// `args` convert to the kernel's parameters as in a call.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <framegrad/core/config.hpp>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#include <cxxabi.h>

#include <cstdlib>
#include <string>

#include <framegrad/core/backend.hpp>
#else
#include <cuda/simt/cuda.hpp>
#include <cuda/simt/record.hpp>
#endif

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Blocks, threads a block, and bytes of dynamic shared memory a block.
struct Grid {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

#ifdef __CUDACC__

template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char framegrad_dynamic_shared[];
  return reinterpret_cast<T*>(framegrad_dynamic_shared);
}

namespace detail {
inline void launch(const void* kernel, const Grid& g, void** args) {
  cudaError_t error = cudaSuccess;
  // Above 48 KiB a kernel has to ask: the limit is the kernel's, on the current device.
  if (g.shared_bytes > (48u << 10)) error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(g.shared_bytes));
  if (error == cudaSuccess) error = cudaLaunchKernel(kernel, g.grid, g.block, args, g.shared_bytes, static_cast<cudaStream_t>(current_stream()));
  if (error == cudaSuccess) return;
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess) mangled = "kernel";
  char* plain = abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr);
  const std::string name = plain ? plain : mangled;
  std::free(plain);
  check_call(int(error), name.c_str());
}
}  // namespace detail

template <class... P, class... A>
void launch(void (*kernel)(P...), const Grid& grid, A&&... args) {
  std::tuple<std::remove_cv_t<P>...> values(static_cast<P>(std::forward<A>(args))...);
  std::apply([&](auto&... v) {
    void* pointers[] = {static_cast<void*>(&v)..., nullptr};
    detail::launch(reinterpret_cast<const void*>(kernel), grid, pointers);
  }, values);
}

#else

template <class T>
T* dynamic_shared() { return reinterpret_cast<T*>(simt::current.shared); }

template <class... P, class... A>
void launch(void (*kernel)(P...), const Grid& grid, A&&... args) {
  struct Call {
    void (*kernel)(P...);
    std::tuple<std::remove_cv_t<P>...> args;
  } call{kernel, {static_cast<P>(std::forward<A>(args))...}};
  const auto entry = [](void* context) {
    const Call& c = *static_cast<Call*>(context);
    std::apply(c.kernel, c.args);
  };
  simt::queue([=]() mutable { simt::run({reinterpret_cast<const void*>(kernel), entry, &call, sizeof call, grid.grid, grid.block, grid.shared_bytes}); });
}

#endif

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
