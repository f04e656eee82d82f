// The detectors of a build whose kernels are compiled with -fsanitize=thread,alignment: in place of ThreadSanitizer's runtime these
// functions receive every memory access. Include this in one translation unit that is compiled without those flags, and
// link without -fsanitize.
#pragma once

#include <cuda/simt/cuda.hpp>
#include <cuda/simt/detector.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

class Detectors final : public Observer {
 public:
  Detectors() { observer = this; }
  void block_begins() override { quietly([](Detector& d) { d.block_begins(); }); }
  void block_ends() override { quietly([](Detector& d) { d.block_meets(); }); }
  void barrier_opens() override { quietly([](Detector& d) { d.block_meets(); }); }
  void lanes_meet(Thread* lanes, unsigned mask) override { quietly([&](Detector& d) { d.lanes_meet(lanes, mask); }); }
  void access(Thread& t, const void* p, std::size_t bytes, Access kind, const void* pc) override {
    quietly([&](Detector& d) { d.access(t, reinterpret_cast<std::uintptr_t>(p), bytes, kind, pc); });
  }
  void copy_issued(Thread& t, const Copy& c) override { quietly([&](Detector& d) { d.copy_issued(t, c); }); }
  void copy_done(Thread& t, const Copy& c) override { quietly([&](Detector& d) { d.copy_done(t, c); }); }

 private:
  template <class F>
  static void quietly(F&& f) {
    const bool before = std::exchange(current.quiet, true);
    f(Detector::of_this_host_thread());
    current.quiet = before;
  }
};
inline Detectors detectors;

namespace detail {

/// Calls f(detector, thread) if a kernel's thread is running, and not the machine on its behalf. What the machine does in
/// shared template code (std::string …) may be instrumented code too, hence `quiet`.
template <class F>
void judge(F&& f) {
  if (!current.thread || current.quiet) return;
  current.quiet = true;
  f(Detector::of_this_host_thread(), *current.thread);
  current.quiet = false;
}
inline void seen(const void* p, std::size_t bytes, Access kind, const void* pc) {
  judge([&](Detector& d, Thread& t) { d.access(t, reinterpret_cast<std::uintptr_t>(p), bytes, kind, pc); });
}
inline void seen_aligned(const void* p, std::size_t bytes, Access kind, const void* pc) {
  judge([&](Detector& d, Thread& t) {
    d.aligned(reinterpret_cast<std::uintptr_t>(p), bytes, kind, pc);
    d.access(t, reinterpret_cast<std::uintptr_t>(p), bytes, kind, pc);
  });
}

// What -fsanitize=alignment passes along.
struct Misaligned {
  const char* file;
  std::uint32_t line, column;
  const void* type;
  std::uint8_t log_alignment, kind;
};

// Atomic operations on plain memory, for the compiler's calls.
template <class T>
T* atomic_at(volatile void* p, const void* pc) {
  seen_aligned(const_cast<void*>(p), sizeof(T), Access::atomic, pc);
  return static_cast<T*>(const_cast<void*>(p));
}
}  // namespace detail

}  // namespace fg::inline FRAMEGRAD_ABI::simt

#define SIMT_HERE __builtin_return_address(0)
#define SIMT_SIZED(n)                                                                                                       \
  void __tsan_read##n(void* p) { fg::simt::detail::seen_aligned(p, n, fg::simt::Access::read, SIMT_HERE); }                 \
  void __tsan_write##n(void* p) { fg::simt::detail::seen_aligned(p, n, fg::simt::Access::write, SIMT_HERE); }               \
  void __tsan_volatile_read##n(void* p) { fg::simt::detail::seen_aligned(p, n, fg::simt::Access::read, SIMT_HERE); }        \
  void __tsan_volatile_write##n(void* p) { fg::simt::detail::seen_aligned(p, n, fg::simt::Access::write, SIMT_HERE); }      \
  void __tsan_unaligned_read##n(void* p) { fg::simt::detail::seen(p, n, fg::simt::Access::read, SIMT_HERE); }               \
  void __tsan_unaligned_write##n(void* p) { fg::simt::detail::seen(p, n, fg::simt::Access::write, SIMT_HERE); }

#define SIMT_FETCH(T, bits, op)                                                              \
  T __tsan_atomic##bits##_fetch_##op(volatile T* p, T v, int) {                              \
    return __atomic_fetch_##op(fg::simt::detail::atomic_at<T>(p, SIMT_HERE), v, __ATOMIC_SEQ_CST); \
  }
#define SIMT_EXCHANGE(T, bits, strength)                                                     \
  int __tsan_atomic##bits##_compare_exchange_##strength(volatile T* p, T* expected, T v, int, int) { \
    return __atomic_compare_exchange_n(fg::simt::detail::atomic_at<T>(p, SIMT_HERE), expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define SIMT_ATOMIC(T, bits)                                                                 \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                   \
    return __atomic_load_n(fg::simt::detail::atomic_at<T>(const_cast<volatile T*>(p), SIMT_HERE), __ATOMIC_SEQ_CST); \
  }                                                                                          \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) { __atomic_store_n(fg::simt::detail::atomic_at<T>(p, SIMT_HERE), v, __ATOMIC_SEQ_CST); } \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                \
    return __atomic_exchange_n(fg::simt::detail::atomic_at<T>(p, SIMT_HERE), v, __ATOMIC_SEQ_CST); \
  }                                                                                          \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T expected, T v, int, int) {   \
    __atomic_compare_exchange_n(fg::simt::detail::atomic_at<T>(p, SIMT_HERE), &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    return expected;                                                                         \
  }                                                                                          \
  SIMT_FETCH(T, bits, add) SIMT_FETCH(T, bits, sub) SIMT_FETCH(T, bits, and) SIMT_FETCH(T, bits, or) SIMT_FETCH(T, bits, xor) SIMT_FETCH(T, bits, nand) \
  SIMT_EXCHANGE(T, bits, strong) SIMT_EXCHANGE(T, bits, weak)

extern "C" {
SIMT_SIZED(1) SIMT_SIZED(2) SIMT_SIZED(4) SIMT_SIZED(8) SIMT_SIZED(16)
SIMT_ATOMIC(std::uint8_t, 8) SIMT_ATOMIC(std::uint16_t, 16) SIMT_ATOMIC(std::uint32_t, 32) SIMT_ATOMIC(std::uint64_t, 64)

void __tsan_init() {}
void __tsan_read_range(void* p, std::size_t bytes) { fg::simt::detail::seen(p, bytes, fg::simt::Access::read, SIMT_HERE); }
void __tsan_write_range(void* p, std::size_t bytes) { fg::simt::detail::seen(p, bytes, fg::simt::Access::write, SIMT_HERE); }
void __tsan_vptr_read(void** p) { fg::simt::detail::seen(p, sizeof *p, fg::simt::Access::read, SIMT_HERE); }
void __tsan_vptr_update(void** p, void*) { fg::simt::detail::seen(p, sizeof *p, fg::simt::Access::write, SIMT_HERE); }
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
void __tsan_func_entry(void* call_site) {
  fg::simt::detail::judge([&](fg::simt::Detector& d, fg::simt::Thread& t) { d.enter(t, call_site); });
}
void __tsan_func_exit() {
  fg::simt::detail::judge([](fg::simt::Detector& d, fg::simt::Thread& t) { d.leave(t); });
}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  fg::simt::detail::seen(from, bytes, fg::simt::Access::read, SIMT_HERE);
  fg::simt::detail::seen(to, bytes, fg::simt::Access::write, SIMT_HERE);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  fg::simt::detail::seen(from, bytes, fg::simt::Access::read, SIMT_HERE);
  fg::simt::detail::seen(to, bytes, fg::simt::Access::write, SIMT_HERE);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  fg::simt::detail::seen(to, bytes, fg::simt::Access::write, SIMT_HERE);
  return std::memset(to, value, bytes);
}

void __ubsan_handle_type_mismatch_v1(void* data, std::uintptr_t p) {
  const std::size_t alignment = std::size_t(1) << static_cast<const fg::simt::detail::Misaligned*>(data)->log_alignment;
  const void* pc = SIMT_HERE;
  fg::simt::detail::judge([&](fg::simt::Detector& d, fg::simt::Thread&) { d.misaligned(p, alignment, pc); });
}
}

#undef SIMT_HERE
#undef SIMT_SIZED
#undef SIMT_FETCH
#undef SIMT_EXCHANGE
#undef SIMT_ATOMIC

namespace fg::inline FRAMEGRAD_ABI::simt::detail {
// Instrumented files only declare the machine, so what they call has to be emitted here, called or not.
[[gnu::used]] inline const void* const emitted[] = {
    reinterpret_cast<const void*>(&run), reinterpret_cast<const void*>(static_cast<void (*)(const Collective&, unsigned, void*, Where)>(&collective)),
    reinterpret_cast<const void*>(&barrier), reinterpret_cast<const void*>(&alive_lanes), reinterpret_cast<const void*>(&yield), reinterpret_cast<const void*>(&copy_issue),
    reinterpret_cast<const void*>(&copy_commit), reinterpret_cast<const void*>(&copy_wait), reinterpret_cast<const void*>(&ldmatrix), reinterpret_cast<const void*>(&mma_sync),
    reinterpret_cast<const void*>(static_cast<uint4 (*)(const void*)>(&load16)), reinterpret_cast<const void*>(static_cast<void (*)(void*, uint4)>(&store16)),
    reinterpret_cast<const void*>(&load_wide), reinterpret_cast<const void*>(&store_wide),
    reinterpret_cast<const void*>(static_cast<void (*)(const std::string&, const void*)>(&fail)), reinterpret_cast<const void*>(&lanes_met)};
}
