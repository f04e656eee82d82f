// Bank conflicts of shared memory: how many passes a warp's access needs, beyond the least.
//
// 32 banks, each four bytes wide, serve one word a pass; lanes that want the same word share it. Accesses of 8 bytes go by half
// warps, of 16 bytes by quarters.
#pragma once

#include <algorithm>

#include <cuda/simt/warp_accesses.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

/// What warps asked for, and the passes that it took beyond one for each (half, quarter) warp.
struct BankCount {
  std::uint64_t accesses = 0, conflicts = 0;
  BankCount& operator+=(const BankCount& b) {
    accesses += b.accesses, conflicts += b.conflicts;
    return *this;
  }
};

struct BankTotals : LineTotals<BankCount> {
  std::uint64_t conflicts() const { return sum().conflicts; }
};
inline BankTotals& bank_totals() {
  static BankTotals totals;
  return totals;
}

/// Collects one block's accesses and counts them whenever the block meets.
class Banks {
 public:
  void access(const Thread& t, std::uintptr_t address, unsigned bytes, const void* pc) { accesses_.add(t, address, bytes, pc); }

  void count() {
    accesses_.take([](const void* pc, const std::vector<WarpAccess>& accesses) {
      BankCount n;
      for (const WarpAccess& a : accesses) {
        const int lanes = a.bytes <= 4 ? 32 : a.bytes == 8 ? 16 : 8;
        for (int first = 0; first < kWarp; first += lanes) {
          const unsigned passes = passes_of(a, first, lanes);
          n.accesses += passes > 0;
          n.conflicts += passes > 0 ? passes - 1 : 0;
        }
      }
      bank_totals().add(pc, n);
    });
  }
  void forget() { accesses_.forget(); }

 private:
  static unsigned passes_of(const WarpAccess& a, int first, int lanes) {
    std::uint32_t words[32][kWarp];  // distinct ones, by bank: a lane adds one to a bank at most
    unsigned count[32] = {}, most = 0;
    for (int lane = first; lane < first + lanes; ++lane) {
      if (!(a.mask >> lane & 1)) continue;
      for (std::uint32_t w = a.address[lane] / 4; w <= (a.address[lane] + a.bytes - 1) / 4; ++w) {
        std::uint32_t* bank = words[w % 32];
        unsigned& n = count[w % 32];
        if (std::find(bank, bank + n, w) == bank + n) bank[n++] = w;
        most = std::max(most, n);
      }
    }
    return most;
  }

  WarpAccesses accesses_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
