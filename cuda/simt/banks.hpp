// Bank conflicts of shared memory: how many passes a warp's access needs, beyond the least.
//
// 32 banks, each four bytes wide, serve one word a pass; lanes that want the same word share it. Accesses of 8 bytes go by half
// warps, of 16 bytes by quarters. The lanes of a warp run one after another here, so the k-th time that each lane passes an
// instruction between two barriers is taken for one access of the warp: what a GPU does when the lanes don't diverge.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <cuda/simt/source.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

/// Of one source line: what warps asked for, and the passes that it took beyond one for each (half, quarter) warp.
struct BankCount {
  std::uint64_t accesses = 0, conflicts = 0;
};

/// Counts of all host threads since the last reset.
class BankTotals {
 public:
  void reset() {
    const std::lock_guard lock(mutex_);
    counts_.clear();
  }
  void add(const void* pc, std::uint64_t accesses, std::uint64_t conflicts) {
    const std::lock_guard lock(mutex_);
    counts_[pc].accesses += accesses;
    counts_[pc].conflicts += conflicts;
  }
  std::uint64_t conflicts() const {
    const std::lock_guard lock(mutex_);
    std::uint64_t sum = 0;
    for (const auto& [pc, n] : counts_) sum += n.conflicts;
    return sum;
  }
  /// By "file:line" of the kernel.
  std::map<std::string, BankCount> by_line() const {
    const std::lock_guard lock(mutex_);
    std::map<std::string, BankCount> lines;
    for (const auto& [pc, n] : counts_) {
      BankCount& sum = lines[kernel_line(pc)];
      sum.accesses += n.accesses;
      sum.conflicts += n.conflicts;
    }
    return lines;
  }
  bool counting = false;

 private:
  mutable std::mutex mutex_;
  std::map<const void*, BankCount> counts_;
};

inline BankTotals& bank_totals() {
  static BankTotals totals;
  return totals;
}

/// Collects one block's accesses and counts them whenever the block meets.
class Banks {
 public:
  void access(const Thread& t, std::uintptr_t address, unsigned bytes, const void* pc) {
    Site& site = sites_[std::uintptr_t(pc) * kWarp + t.id / kWarp];
    const unsigned k = site.passes[t.lane]++;
    if (k >= site.groups.size()) site.groups.resize(k + 1);
    Group& g = site.groups[k];
    g.mask |= 1u << t.lane;
    g.bytes = bytes;
    g.address[t.lane] = std::uint32_t(address);
  }

  void count() {
    for (auto& [key, site] : sites_) {
      std::uint64_t accesses = 0, conflicts = 0;
      for (const Group& g : site.groups) {
        const int lanes = g.bytes <= 4 ? 32 : g.bytes == 8 ? 16 : 8;
        for (int first = 0; first < kWarp; first += lanes) {
          const unsigned passes = passes_of(g, first, lanes);
          accesses += passes > 0;
          conflicts += passes > 0 ? passes - 1 : 0;
        }
      }
      bank_totals().add(reinterpret_cast<const void*>(key / kWarp), accesses, conflicts);
    }
    sites_.clear();
  }
  void forget() { sites_.clear(); }

 private:
  struct Group {
    unsigned mask = 0, bytes = 4;
    std::array<std::uint32_t, kWarp> address;
  };
  struct Site {
    std::array<unsigned, kWarp> passes{};
    std::vector<Group> groups;
  };

  static unsigned passes_of(const Group& g, int first, int lanes) {
    std::uint32_t words[32][kWarp];  // distinct ones, by bank: a lane adds one to a bank at most
    unsigned count[32] = {}, most = 0;
    for (int lane = first; lane < first + lanes; ++lane) {
      if (!(g.mask >> lane & 1)) continue;
      for (std::uint32_t w = g.address[lane] / 4; w <= (g.address[lane] + g.bytes - 1) / 4; ++w) {
        std::uint32_t* bank = words[w % 32];
        unsigned& n = count[w % 32];
        if (std::find(bank, bank + n, w) == bank + n) bank[n++] = w;
        most = std::max(most, n);
      }
    }
    return most;
  }

  std::unordered_map<std::uintptr_t, Site> sites_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
