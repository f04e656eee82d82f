// Runs a grid: checks what a GPU's driver checks, then spreads the blocks over the host's threads.
#pragma once

#include <atomic>

#include <cuda/simt/block.hpp>
#include <framegrad/core/parallel.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline void check_launch(const Launch& l) {
  const auto threads = std::uint64_t(l.block.x) * l.block.y * l.block.z;
  const bool block_fits = threads >= 1 && threads <= kMaxThreads && l.block.x <= kMaxThreads && l.block.y <= kMaxThreads && l.block.z <= 64;
  const bool grid_fits = l.grid.x >= 1 && l.grid.y >= 1 && l.grid.z >= 1 && l.grid.x <= 0x7fffffffu && l.grid.y <= 65535 && l.grid.z <= 65535;
  if (block_fits && grid_fits && l.shared_bytes <= kMaxShared) return;
  throw Fault(text("simt: kernel ", function_name(l.kernel), ": a grid of ", index_text(l.grid), " blocks of ", index_text(l.block), " threads with ", l.shared_bytes,
                   " bytes of dynamic shared memory: a GPU takes 1 to 1024 threads (z to 64), a grid from 1 to (2^31-1,65535,65535) and ", kMaxShared, " bytes"));
}

inline void run(const Launch& l) {
  if (current.thread) fail("a kernel launches a kernel", l.kernel);
  check_launch(l);
  const Index gx = l.grid.x, gy = l.grid.y, blocks = gx * gy * l.grid.z;
  const double cost = 100.0 * l.block.x * l.block.y * l.block.z;
  std::atomic<bool> stop{false};
  parallel_for(blocks, cost, [&](Range range) {
    Block& block = Block::of_this_host_thread();
    for (Index i = range.begin; i < range.end && !stop.load(std::memory_order_relaxed); ++i) {
      try {
        block.run(l, {unsigned(i % gx), unsigned(i / gx % gy), unsigned(i / gx / gy)});
      } catch (...) {
        current = {};
        stop = true;
        throw;
      }
    }
  });
}

inline void collective(const Collective& kind, unsigned mask, void* operand, Where where) { current.block->collective(kind, mask, operand, where); }
inline Tally barrier(const char* name, bool predicate, Where where) { return current.block->barrier(name, predicate, where); }
inline void yield() { current.block->yield(); }
inline void fail(const std::string& what, const void* pc) {
  if (!current.block) throw Fault(text("simt: ", what));
  current.block->fail(what, pc);
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
