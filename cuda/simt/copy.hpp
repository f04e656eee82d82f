// cp.async: a copy from global to shared memory happens when its thread waits for it. Until then the place in shared memory
// holds 0xff, so that a kernel that reads too early, or copies into a tile that others still read, computes NaN.
#pragma once

#include <cstring>

#include <cuda/simt/observer.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline void copy_issue(void* to, const void* from, int bytes, int from_bytes) {
  Thread& t = *current.thread;
  t.copies.push_back({to, from, bytes, from_bytes, t.groups, __builtin_return_address(0)});
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

}  // namespace fg::inline FRAMEGRAD_ABI::simt
