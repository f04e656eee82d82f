// Atomic operations and fences of CUDA C++, on global and shared memory. Each returns the value before it.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>

#include <cuda/simt/engine.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

template <class T> concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <class T> concept AtomicFloat = std::same_as<T, float> || std::same_as<T, double>;

/// *p ← f(*p), as often as it takes.
template <class T, class F>
T atomic_update(T* p, F f) {
  count_atomic();
  T before, after;
  __atomic_load(p, &before, __ATOMIC_RELAXED);
  do {
    after = f(before);
  } while (!__atomic_compare_exchange(p, &before, &after, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
  return before;
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt

template <class T> requires(fg::simt::AtomicInteger<T> || fg::simt::AtomicFloat<T>)
T atomicAdd(T* p, std::type_identity_t<T> v) {
  if constexpr (fg::simt::AtomicInteger<T>) {
    fg::simt::count_atomic();
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
  } else {
    return fg::simt::atomic_update(p, [v](T x) { return x + v; });
  }
}
template <class T> requires(std::same_as<T, int> || std::same_as<T, unsigned>)
T atomicSub(T* p, std::type_identity_t<T> v) {
  fg::simt::count_atomic();
  return __atomic_fetch_sub(p, v, __ATOMIC_ACQ_REL);
}
template <class T> requires(fg::simt::AtomicInteger<T> || std::same_as<T, long long>)
T atomicMin(T* p, std::type_identity_t<T> v) { return fg::simt::atomic_update(p, [v](T x) { return v < x ? v : x; }); }
template <class T> requires(fg::simt::AtomicInteger<T> || std::same_as<T, long long>)
T atomicMax(T* p, std::type_identity_t<T> v) { return fg::simt::atomic_update(p, [v](T x) { return x < v ? v : x; }); }
template <fg::simt::AtomicInteger T>
T atomicAnd(T* p, std::type_identity_t<T> v) { return fg::simt::atomic_update(p, [v](T x) { return x & v; }); }
template <fg::simt::AtomicInteger T>
T atomicOr(T* p, std::type_identity_t<T> v) { return fg::simt::atomic_update(p, [v](T x) { return x | v; }); }
template <fg::simt::AtomicInteger T>
T atomicXor(T* p, std::type_identity_t<T> v) { return fg::simt::atomic_update(p, [v](T x) { return x ^ v; }); }
inline unsigned atomicInc(unsigned* p, unsigned last) {
  return fg::simt::atomic_update(p, [last](unsigned x) { return x >= last ? 0u : x + 1; });
}
inline unsigned atomicDec(unsigned* p, unsigned last) {
  return fg::simt::atomic_update(p, [last](unsigned x) { return x == 0 || x > last ? last : x - 1; });
}

template <class T> requires(fg::simt::AtomicInteger<T> || std::same_as<T, float>)
T atomicExch(T* p, std::type_identity_t<T> v) {
  fg::simt::count_atomic();
  T before;
  __atomic_exchange(p, &v, &before, __ATOMIC_ACQ_REL);
  return before;
}
template <class T> requires(fg::simt::AtomicInteger<T> || std::same_as<T, unsigned short>)
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  fg::simt::count_atomic();
  __atomic_compare_exchange(p, &expected, &v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  return expected;
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
