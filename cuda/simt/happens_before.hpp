// Which of two accesses by threads of a block came first for certain. A barrier orders all threads; __syncwarp orders the
// lanes of its mask, by a vector clock within the warp. Shuffles and votes order nothing: they promise nothing about memory.
#pragma once

#include <array>
#include <cstring>

#include <cuda/simt/engine.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

/// When and by whom something was done.
struct Stamp {
  std::uint32_t epoch = 0;  // barriers before it
  std::uint32_t clock = 0;  // of the thread: how often it has met lanes of its warp
  std::uint16_t thread = 0;
};

class HappensBefore {
 public:
  void block_begins() {
    epoch_ = 1;
    std::memset(seen_.data(), 0, sizeof seen_);
    for (auto& warp : seen_) {
      for (int i = 0; i < kWarp; ++i) warp[i][i] = 1;
    }
  }
  void barrier_opens() { ++epoch_; }

  void lanes_meet(unsigned warp, unsigned mask) {
    auto& seen = seen_[warp];
    std::array<std::uint32_t, kWarp> all{};
    for (int i = 0; i < kWarp; ++i) {
      if (!(mask >> i & 1)) continue;
      for (int j = 0; j < kWarp; ++j) all[j] = seen[i][j] > all[j] ? seen[i][j] : all[j];
    }
    for (int i = 0; i < kWarp; ++i) {
      if (!(mask >> i & 1)) continue;
      seen[i] = all;
      ++seen[i][i];
    }
  }

  Stamp now(const Thread& t) const { return {epoch_, seen_[t.id / kWarp][t.lane][t.lane], std::uint16_t(t.id)}; }

  /// Is what `before` stamps ordered before what `t` does now?
  bool ordered(const Stamp& before, const Thread& t) const {
    if (before.epoch != epoch_ || before.thread == t.id) return true;
    if (before.thread / kWarp != t.id / kWarp) return false;
    return seen_[t.id / kWarp][t.lane][before.thread % kWarp] >= before.clock;
  }

 private:
  std::uint32_t epoch_ = 1;
  // seen_[w][i][j]: the latest clock of lane j that lane i of warp w knows of; a lane's own clock starts at 1
  std::array<std::array<std::array<std::uint32_t, kWarp>, kWarp>, kMaxThreads / kWarp> seen_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
