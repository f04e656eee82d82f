// What is known of each byte of a block's shared memory: who wrote it, who read it, whether a cp.async is on its way to it.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include <cuda/simt/happens_before.hpp>
#include <cuda/simt/observer.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

struct Event {
  Stamp stamp;
  bool atomic = false;
  const void* pc = nullptr;
};

/// What is wrong with an access, and the other access that it clashes with.
struct Finding {
  enum Kind { none, race, unwritten, before_wait } kind = none;
  Event other{};
  bool other_writes = false;
};

class Shadow {
 public:
  explicit Shadow(std::size_t bytes) : bytes_(bytes) {
    void* p = ::mmap(nullptr, bytes * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    cells_ = static_cast<Cell*>(p);  // zero pages: of block 0, which never runs
  }
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;
  ~Shadow() { ::munmap(cells_, bytes_ * sizeof(Cell)); }

  void block_begins() { ++block_, written_ = 0; }
  /// Bytes that the block has written so far.
  std::size_t written() const { return written_; }

  Finding access(const HappensBefore& order, const Thread& t, std::size_t first, std::size_t bytes, Access kind, const void* pc) {
    for (std::size_t i = first; i < first + bytes && i < bytes_; ++i) {
      const Finding f = byte(order, t, fresh(i), kind, pc);
      if (f.kind != Finding::none) return f;
    }
    return {};
  }
  /// A cp.async to these bytes was issued: from now on they are undefined.
  Finding pending(const HappensBefore& order, const Thread& t, std::size_t first, std::size_t bytes, const void* pc) {
    for (std::size_t i = first; i < first + bytes && i < bytes_; ++i) {
      Cell& c = fresh(i);
      c.pending = false;
      const Finding f = byte(order, t, c, Access::write, pc);
      if (f.kind != Finding::none) return f;
      c.pending = true;
    }
    return {};
  }
  void arrived(const HappensBefore& order, const Thread& t, std::size_t first, std::size_t bytes, const void* pc) {
    for (std::size_t i = first; i < first + bytes && i < bytes_; ++i) {
      Cell& c = fresh(i);
      c.pending = false;
      c.write = {order.now(t), false, pc};
    }
  }

 private:
  struct Cell {
    std::uint32_t block;
    bool written, pending;
    std::uint8_t readers;
    Event write;
    Event read[2];
  };

  Cell& fresh(std::size_t i) {
    Cell& c = cells_[i];
    if (c.block != block_) c.block = block_, c.written = c.pending = false, c.readers = 0;
    return c;
  }

  Finding byte(const HappensBefore& order, const Thread& t, Cell& c, Access kind, const void* pc) {
    if (c.pending) return {Finding::before_wait, c.write, true};
    if (c.written && !(kind == Access::atomic && c.write.atomic) && !order.ordered(c.write.stamp, t)) return {Finding::race, c.write, true};
    if (kind == Access::read) {
      note_reader(c, {order.now(t), false, pc});
      return {c.written ? Finding::none : Finding::unwritten, {}, false};
    }
    for (int i = 0; i < c.readers; ++i) {
      if (!order.ordered(c.read[i].stamp, t)) return {Finding::race, c.read[i], false};
    }
    const bool unwritten = kind == Access::atomic && !c.written;
    if (!c.written) c.written = true, ++written_;
    c.write = {order.now(t), kind == Access::atomic, pc};
    return {unwritten ? Finding::unwritten : Finding::none, {}, false};
  }

  // Two readers are remembered, of different warps if there were any: a later write is ordered after both or it is a race.
  static void note_reader(Cell& c, const Event& e) {
    for (int i = 0; i < c.readers; ++i) {
      if (c.read[i].stamp.thread == e.stamp.thread || c.read[i].stamp.epoch < e.stamp.epoch) {
        c.read[i] = e;
        return;
      }
    }
    if (c.readers < 2) {
      c.read[c.readers++] = e;
    } else if (c.read[0].stamp.thread / kWarp == c.read[1].stamp.thread / kWarp) {
      c.read[1] = e;
    }
  }

  std::size_t bytes_, written_ = 0;
  std::uint32_t block_ = 0;
  Cell* cells_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
