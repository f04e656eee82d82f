// Runs a grid: its blocks are spread over the host's threads.
#pragma once

#include <atomic>

#include <cuda/simt/block.hpp>
#include <cuda/simt/check_launch.hpp>
#include <cuda/simt/meeting.hpp>
#include <framegrad/core/parallel.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

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
