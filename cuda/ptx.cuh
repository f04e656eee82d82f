// Wrappers of PTX instructions: the only place where a kernel's source differs between a GPU and the CPU (cuda/simt).
//
//   cp_async[_cached], cp_async_commit, …_wait     global → shared memory without registers; there once waited for
//   ldmatrix_x1 … _x4_trans                        8×8 matrices of 16 bits, shared memory → fragments
//   mma_m16n8k16<T>, mma_m16n8k8_tf32              tensor cores; the fragments' layout is in simt/tensor_core.hpp and the PTX ISA
//   to_float, from_float, pack, unpack, to_tf32    conversions, rounding to nearest even
//   load16, store16, load_streaming, …             16 bytes at once
//   load_wide, store_wide                          a value of any size, in as few accesses as its alignment allows
#pragma once

#include "cuda/launch.cuh"
#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

#ifdef __CUDACC__

namespace detail {
__device__ __forceinline__ unsigned shared_address(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }
}  // namespace detail

/// Copies kBytes (4, 8 or 16; both addresses aligned to them): `from_bytes` from global memory, then zeros.
template <int kBytes>
__device__ __forceinline__ void cp_async(void* shared, const void* global, int from_bytes = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  if constexpr (kBytes == 16) {  // .cg: past the first-level cache, which the other sizes can't
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)), "l"(global), "r"(from_bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(detail::shared_address(shared)), "l"(global), "n"(kBytes), "r"(from_bytes) : "memory");
  }
}
/// cp_async<16> through the first-level cache: for what the block fetches again soon.
__device__ __forceinline__ void cp_async_cached(void* shared, const void* global, int from_bytes = 16) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)), "l"(global), "r"(from_bytes) : "memory");
}
/// What was issued since the last commit is a group.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most kPending of this thread's groups are on their way. Other threads see the data after a barrier.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory"); }
__device__ __forceinline__ void cp_async_wait_all() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// r[i] ← this lane's part of matrix i; lanes 8i … 8i+7 pass the addresses of its rows (16 bytes, aligned).
__device__ __forceinline__ void ldmatrix_x1(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(detail::shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(detail::shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(detail::shared_address(row)) : "memory");
}
/// The same, each matrix transposed.
__device__ __forceinline__ void ldmatrix_x1_trans(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(detail::shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(detail::shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(detail::shared_address(row)) : "memory");
}

/// d[4] ← a[4]·b[2] + c[4]: 16×16 (row-major) times 16×8 (column-major), bf16 or half, f32 sums. d may be c.
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float* d, const unsigned* a, const unsigned* b, const float* c) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, half>);
  if constexpr (std::is_same_v<T, bf16>) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
  }
}
/// The same for 16×8 times 8×8 of f32 values of which the upper 19 bits count (to_tf32 rounds to them).
__device__ __forceinline__ void mma_m16n8k8_tf32(float* d, const unsigned* a, const unsigned* b, const float* c) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
               : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
__device__ __forceinline__ unsigned to_tf32(float v) {
  unsigned r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
  return r;
}

__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float to_float(bf16 v) { return __uint_as_float(unsigned(v.bits) << 16); }
__device__ __forceinline__ float to_float(half v) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
}
template <class T>
__device__ __forceinline__ T from_float(float v) {
  if constexpr (std::is_same_v<T, float>) {
    return v;
  } else {
    T t;
    if constexpr (std::is_same_v<T, bf16>) asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(t.bits) : "f"(v));
    else asm("cvt.rn.f16.f32 %0, %1;" : "=h"(t.bits) : "f"(v));
    return t;
  }
}
/// A 32-bit register with `low` in its lower half.
template <class T>
__device__ __forceinline__ unsigned pack(float low, float high) {
  unsigned r;
  if constexpr (std::is_same_v<T, bf16>) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

/// 2^x within 2 ulp; subnormal results are 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 16 bytes from or to an address that is aligned to 16: in simt it is an error if it is not.
__device__ __forceinline__ uint4 load16(const void* p) { return *static_cast<const uint4*>(p); }
__device__ __forceinline__ void store16(void* p, uint4 v) { *static_cast<uint4*>(p) = v; }
/// The same for data that is used once: it leaves the caches first.
__device__ __forceinline__ uint4 load16_streaming(const void* p) { return __ldcs(static_cast<const uint4*>(p)); }
__device__ __forceinline__ void store16_streaming(void* p, uint4 v) { __stcs(static_cast<uint4*>(p), v); }
/// A V, aligned to its size: in simt one access, or one for each 16 bytes, where a compiler for the CPU would take it apart.
template <class V>
__device__ __forceinline__ V load_wide(const V* p) { return *p; }
template <class V>
__device__ __forceinline__ void store_wide(V* p, const V& v) { *p = v; }

#else

template <int kBytes>
[[gnu::always_inline]] inline void cp_async(void* shared, const void* global, int from_bytes = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  simt::copy_issue(shared, global, kBytes, from_bytes);
}
[[gnu::always_inline]] inline void cp_async_cached(void* shared, const void* global, int from_bytes = 16) { simt::copy_issue(shared, global, 16, from_bytes); }
inline void cp_async_commit() { simt::copy_commit(); }
template <int kPending>
void cp_async_wait() { simt::copy_wait(kPending); }
inline void cp_async_wait_all() { simt::copy_wait(-1); }

using simt::Where;
[[gnu::always_inline]] inline void ldmatrix_x1(unsigned* r, const void* row, Where w = Where::here()) { simt::ldmatrix(1, false, row, r, w); }
[[gnu::always_inline]] inline void ldmatrix_x2(unsigned* r, const void* row, Where w = Where::here()) { simt::ldmatrix(2, false, row, r, w); }
[[gnu::always_inline]] inline void ldmatrix_x4(unsigned* r, const void* row, Where w = Where::here()) { simt::ldmatrix(4, false, row, r, w); }
[[gnu::always_inline]] inline void ldmatrix_x1_trans(unsigned* r, const void* row, Where w = Where::here()) { simt::ldmatrix(1, true, row, r, w); }
[[gnu::always_inline]] inline void ldmatrix_x2_trans(unsigned* r, const void* row, Where w = Where::here()) { simt::ldmatrix(2, true, row, r, w); }
[[gnu::always_inline]] inline void ldmatrix_x4_trans(unsigned* r, const void* row, Where w = Where::here()) { simt::ldmatrix(4, true, row, r, w); }

template <class T>
void mma_m16n8k16(float* d, const unsigned* a, const unsigned* b, const float* c, Where w = Where::here()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, half>);
  simt::mma_sync(std::is_same_v<T, bf16> ? 0 : 1, d, a, b, c, w);
}
inline void mma_m16n8k8_tf32(float* d, const unsigned* a, const unsigned* b, const float* c, Where w = Where::here()) { simt::mma_sync(2, d, a, b, c, w); }
inline unsigned to_tf32(float v) {  // cvt.rna: to nearest, ties away from zero
  const auto u = std::bit_cast<unsigned>(v);
  return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & 0xffffe000u;
}

inline float to_float(float v) { return v; }
inline float to_float(bf16 v) { return float(v); }
inline float to_float(half v) { return float(v); }
template <class T>
T from_float(float v) { return T(v); }
template <class T>
unsigned pack(float low, float high) { return unsigned(T(low).bits) | unsigned(T(high).bits) << 16; }

inline float exp2_approx(float x) { return std::exp2(x); }

[[gnu::always_inline]] inline uint4 load16(const void* p) { return simt::load16(p); }
[[gnu::always_inline]] inline void store16(void* p, uint4 v) { simt::store16(p, v); }
[[gnu::always_inline]] inline uint4 load16_streaming(const void* p) { return simt::load16(p); }
[[gnu::always_inline]] inline void store16_streaming(void* p, uint4 v) { simt::store16(p, v); }
template <class V>
[[gnu::always_inline]] inline V load_wide(const V* p) {
  V v;
  constexpr int kBytes = sizeof(V) < 16 ? sizeof(V) : 16;
  for (std::size_t i = 0; i < sizeof(V); i += kBytes) simt::load_wide(reinterpret_cast<char*>(&v) + i, reinterpret_cast<const char*>(p) + i, kBytes);
  return v;
}
template <class V>
[[gnu::always_inline]] inline void store_wide(V* p, const V& v) {
  constexpr int kBytes = sizeof(V) < 16 ? sizeof(V) : 16;
  for (std::size_t i = 0; i < sizeof(V); i += kBytes) simt::store_wide(reinterpret_cast<char*>(p) + i, reinterpret_cast<const char*>(&v) + i, kBytes);
}

#endif

/// The two values of a register that `pack` filled.
template <class T>
__device__ __forceinline__ float2 unpack(unsigned r) {
  T low, high;
  low.bits = static_cast<unsigned short>(r);
  high.bits = static_cast<unsigned short>(r >> 16);
  return {to_float(low), to_float(high)};
}

/// How many values of T are 16 bytes.
template <class T> inline constexpr int kVector = 16 / int(sizeof(T));

template <class T>
__device__ __forceinline__ T load_streaming(const T* p) { return __ldcs(p); }

/// 16 bytes of T as f32, and back.
template <class T>
__device__ __forceinline__ void to_floats(uint4 v, float (&f)[kVector<T>]) {
  const unsigned r[4] = {v.x, v.y, v.z, v.w};
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      f[i] = __uint_as_float(r[i]);
    } else {
      const float2 pair = unpack<T>(r[i]);
      f[2 * i] = pair.x;
      f[2 * i + 1] = pair.y;
    }
  }
}
template <class T>
__device__ __forceinline__ uint4 from_floats(const float (&f)[kVector<T>]) {
  unsigned r[4];
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) r[i] = __float_as_uint(f[i]);
    else r[i] = pack<T>(f[2 * i], f[2 * i + 1]);
  }
  return {r[0], r[1], r[2], r[3]};
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
