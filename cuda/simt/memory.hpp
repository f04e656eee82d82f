// Which global memory is live. A runtime on top of simt registers what it allocates, with some unused bytes between two
// allocations; in a build with detectors an access outside of them is reported.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

class Memory {
 public:
  struct Span {
    std::uintptr_t begin, end;
    bool holds(std::uintptr_t p, std::size_t bytes) const { return p >= begin && p + bytes <= end; }
  };

  /// In place of what lies there: a graph that runs again gives memory anew that holds its last run's results.
  void add(const void* p, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto begin = reinterpret_cast<std::uintptr_t>(p);
    auto i = spans_.lower_bound(begin);
    if (i != spans_.begin() && std::prev(i)->first + std::prev(i)->second > begin) --i;
    while (i != spans_.end() && i->first < begin + bytes) i = spans_.erase(i);
    spans_[begin] = bytes;
    ++version_;
  }
  void remove(const void* p) {
    const std::lock_guard lock(mutex_);
    spans_.erase(reinterpret_cast<std::uintptr_t>(p));
    ++version_;
  }

  /// The allocation that begins at or before p: the one p is in, or the one it has run out of.
  std::optional<Span> before(std::uintptr_t p) const {
    const std::lock_guard lock(mutex_);
    auto i = spans_.upper_bound(p);
    if (i == spans_.begin()) return std::nullopt;
    --i;
    return Span{i->first, i->first + i->second};
  }
  std::optional<Span> after(std::uintptr_t p) const {
    const std::lock_guard lock(mutex_);
    const auto i = spans_.upper_bound(p);
    if (i == spans_.end()) return std::nullopt;
    return Span{i->first, i->first + i->second};
  }
  /// Changes whenever an allocation comes or goes: what was looked up before is void.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  std::map<std::uintptr_t, std::size_t> spans_;
  std::atomic<std::uint64_t> version_{1};
};

/// Never destroyed: a tensor that a program holds to its very end is released after everything else.
inline Memory& memory() {
  static Memory& m = *new Memory;
  return m;
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
