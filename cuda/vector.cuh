// Neighbours in memory, moved together: a Pack of 16 bytes is one load of a warp's 512.
#pragma once

#include <cstdint>

#include "cuda/ptx.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

/// Elements of T in 16 bytes.
template <class T> inline constexpr int kPack = 16 / int(sizeof(T));

template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p) {
  if constexpr (N == 1) return {*p};
  else return load_wide(reinterpret_cast<const Pack<T, N>*>(p));
}
template <int N, class T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, N>& v) {
  if constexpr (N == 1) *p = v.v[0];
  else store_wide(reinterpret_cast<Pack<T, N>*>(p), v);
}

/// Whether all pointers may be read in packs of 16 bytes.
template <class... P>
bool aligned16(const P*... p) {
  return ((reinterpret_cast<std::uintptr_t>(p) % 16 == 0) && ...);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
