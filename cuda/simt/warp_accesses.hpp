// A block's memory accesses, put together to those of its warps.
//
// The lanes of a warp run one after another here, so the k-th time that each lane passes an instruction between two barriers is taken for
// one access of the warp: what a GPU does when the lanes don't diverge.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <cuda/simt/source.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

/// Where the lanes of `mask` went, the lowest 32 bits of each address, for `bytes` each.
struct WarpAccess {
  unsigned mask = 0, bytes = 4;
  std::array<std::uint32_t, kWarp> address;
};

class WarpAccesses {
 public:
  void add(const Thread& t, std::uintptr_t address, unsigned bytes, const void* pc) {
    Site& site = sites_[std::uintptr_t(pc) * kWarp + t.id / kWarp];
    const unsigned k = site.passages[t.lane]++;
    if (k >= site.accesses.size()) site.accesses.resize(k + 1);
    WarpAccess& a = site.accesses[k];
    a.mask |= 1u << t.lane;
    a.bytes = bytes;
    a.address[t.lane] = std::uint32_t(address);
  }
  /// f(instruction, the accesses of a warp by it), and forgets them.
  template <class F>
  void take(F&& f) {
    for (const auto& [key, site] : sites_) f(reinterpret_cast<const void*>(key / kWarp), site.accesses);
    sites_.clear();
  }
  void forget() { sites_.clear(); }

 private:
  struct Site {
    std::array<unsigned, kWarp> passages{};
    std::vector<WarpAccess> accesses;
  };
  std::unordered_map<std::uintptr_t, Site> sites_;
};

/// What all host threads counted since the last reset. Count: an aggregate of numbers with +=.
template <class Count>
class LineTotals {
 public:
  void reset() {
    const std::lock_guard lock(mutex_);
    counts_.clear();
  }
  void add(const void* pc, const Count& n) {
    const std::lock_guard lock(mutex_);
    counts_[pc] += n;
  }
  Count sum() const {
    const std::lock_guard lock(mutex_);
    Count sum;
    for (const auto& [pc, n] : counts_) sum += n;
    return sum;
  }
  /// By "file:line" of the kernel.
  std::map<std::string, Count> by_line() const {
    const std::lock_guard lock(mutex_);
    std::map<std::string, Count> lines;
    for (const auto& [pc, n] : counts_) lines[kernel_line(pc)] += n;
    return lines;
  }
  bool counting = false;

 private:
  mutable std::mutex mutex_;
  std::map<const void*, Count> counts_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
