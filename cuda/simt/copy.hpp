// Loads and stores of up to 16 bytes at once, and cp.async. A copy happens when its thread waits for it. Until then the place in shared memory
// holds 0xff, so that a kernel that reads too early, or copies into a tile that others still read, computes NaN.
#pragma once

#include <cstring>

#include <cuda/simt/observer.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

[[gnu::noinline]] inline void copy_issue(void* to, const void* from, int bytes, int from_bytes) {
  Thread& t = *current.thread;
  const void* pc = __builtin_return_address(0);
  if (from_bytes < 0 || from_bytes > bytes) current.quiet = true, fail(text("cp.async: ", from_bytes, " bytes to read of ", bytes), pc);
  if (reinterpret_cast<std::uintptr_t>(to) % bytes || reinterpret_cast<std::uintptr_t>(from) % bytes) {
    current.quiet = true;
    fail(text("cp.async of ", bytes, " bytes: the address in ", reinterpret_cast<std::uintptr_t>(to) % bytes ? "shared" : "global", " memory is not aligned to them"), pc);
  }
  t.copies.push_back({to, from, bytes, from_bytes, t.groups, pc});
  if (observer) observer->copy_issued(t, t.copies.back());
  std::memset(to, 0xff, std::size_t(bytes));
}

inline void copy_commit() { ++current.thread->groups; }

inline void copy_wait(int pending) {
  Thread& t = *current.thread;
  for (; t.first_copy < t.copies.size(); ++t.first_copy) {
    const Copy& c = t.copies[t.first_copy];
    if (pending >= 0 && c.group >= t.groups - pending) return;
    if (observer) observer->copy_done(t, c);
    if (c.from_bytes) std::memcpy(c.to, c.from, std::size_t(c.from_bytes));
    std::memset(static_cast<char*>(c.to) + c.from_bytes, 0, std::size_t(c.bytes - c.from_bytes));
  }
  t.copies.clear();
  t.first_copy = 0;
}

// Checks and reports an access of `bytes`; `pc` is in the kernel.
inline void vector_access(const void* p, int bytes, Access kind, const void* pc) {
  if (const auto beyond = reinterpret_cast<std::uintptr_t>(p) % std::uintptr_t(bytes)) {
    current.quiet = true;
    fail(text("an access of ", bytes, " bytes: the address is ", beyond, " beyond a multiple of ", bytes), pc);
  }
  if (observer && current.thread) observer->access(*current.thread, p, std::size_t(bytes), kind, pc);
}
[[gnu::noinline]] inline uint4 load16(const void* p) {
  vector_access(p, 16, Access::read, __builtin_return_address(0));
  return *static_cast<const uint4*>(p);
}
[[gnu::noinline]] inline void store16(void* p, uint4 v) {
  vector_access(p, 16, Access::write, __builtin_return_address(0));
  *static_cast<uint4*>(p) = v;
}
[[gnu::noinline]] inline void load_wide(void* to, const void* from, int bytes) {
  vector_access(from, bytes, Access::read, __builtin_return_address(0));
  std::memcpy(to, from, std::size_t(bytes));
}
[[gnu::noinline]] inline void store_wide(void* to, const void* from, int bytes) {
  vector_access(to, bytes, Access::write, __builtin_return_address(0));
  std::memcpy(to, from, std::size_t(bytes));
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
