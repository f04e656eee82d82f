// Traffic with global memory: how many sectors of 32 bytes a warp's access touches.
//
// A GPU moves memory by sectors, and lanes of one access that want the same sector share it. Counted as if there were no caches: what
// a kernel asks for, not what its GPU's memory has to deliver. And counted as if caches lost nothing: which sectors are touched at all.
#pragma once

#include <algorithm>
#include <unordered_set>

#include <cuda/simt/warp_accesses.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline constexpr std::uint32_t kSectorBytes = 32;

struct SectorCount {
  std::uint64_t accesses = 0, sectors = 0;  // of warps
  SectorCount& operator+=(const SectorCount& b) {
    accesses += b.accesses, sectors += b.sectors;
    return *this;
  }
};

inline LineTotals<SectorCount>& sector_totals() {
  static LineTotals<SectorCount> totals;
  return totals;
}

/// The sectors that were read and those that were written since the last reset, each once.
class TouchedSectors {
 public:
  void reset() {
    const std::lock_guard lock(mutex_);
    read_.clear(), written_.clear();
  }
  void add(std::uintptr_t address, std::size_t bytes, bool writes) {
    const std::lock_guard lock(mutex_);
    for (std::uintptr_t s = address / kSectorBytes; s <= (address + bytes - 1) / kSectorBytes; ++s) (writes ? written_ : read_).insert(s);
  }
  std::uint64_t count() const {
    const std::lock_guard lock(mutex_);
    return read_.size() + written_.size();
  }
  bool counting = false;

 private:
  mutable std::mutex mutex_;
  std::unordered_set<std::uintptr_t> read_, written_;
};
inline TouchedSectors& touched_sectors() {
  static TouchedSectors touched;
  return touched;
}

/// Collects one block's accesses and counts them whenever the block meets.
class Sectors {
 public:
  void access(const Thread& t, std::uintptr_t address, unsigned bytes, const void* pc) { accesses_.add(t, address, bytes, pc); }

  void count() {
    accesses_.take([](const void* pc, const std::vector<WarpAccess>& accesses) {
      SectorCount n;
      for (const WarpAccess& a : accesses) n.accesses += 1, n.sectors += sectors_of(a);
      sector_totals().add(pc, n);
    });
  }
  void forget() { accesses_.forget(); }

 private:
  static unsigned sectors_of(const WarpAccess& a) {
    std::uint32_t seen[2 * kWarp];  // a lane's 16 bytes lie in two at most
    std::uint32_t* end = seen;
    for (int lane = 0; lane < kWarp; ++lane) {
      if (!(a.mask >> lane & 1)) continue;
      for (std::uint32_t s = a.address[lane] / kSectorBytes; s <= (a.address[lane] + a.bytes - 1) / kSectorBytes; ++s) {
        if (std::find(seen, end, s) == end) *end++ = s;
      }
    }
    return unsigned(end - seen);
  }

  WarpAccesses accesses_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
