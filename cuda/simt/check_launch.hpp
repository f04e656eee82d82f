// What a GPU's driver checks before it runs a kernel.
#pragma once

#include <cuda/simt/source.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline void check_launch(const Launch& l) {
  const auto threads = std::uint64_t(l.block.x) * l.block.y * l.block.z;
  const bool block_fits = threads >= 1 && threads <= kMaxThreads && l.block.x <= kMaxThreads && l.block.y <= kMaxThreads && l.block.z <= 64;
  const bool grid_fits = l.grid.x >= 1 && l.grid.y >= 1 && l.grid.z >= 1 && l.grid.x <= 0x7fffffffu && l.grid.y <= 65535 && l.grid.z <= 65535;
  if (block_fits && grid_fits && l.shared_bytes <= kMaxShared) return;
  throw Fault(text("simt: kernel ", function_name(l.kernel), ": a grid of ", index_text(l.grid), " blocks of ", index_text(l.block), " threads with ", l.shared_bytes,
                   " bytes of dynamic shared memory: a GPU takes 1 to 1024 threads (z to 64), a grid from 1 to (2^31-1,65535,65535) and ", kMaxShared, " bytes"));
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
