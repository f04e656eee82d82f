// What the tiles of gemm fetch into the second-level cache while they multiply: the memory that is needed next, spread over them.
//
// Each tile takes its share of some rows of memory, and fetches a line of it every few steps: many lines at once would hold its own loads up.
#pragma once

#include <framegrad/core/dtype.hpp>
#include <framegrad/cpu/vec.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// The cache line at p is fetched to be written.
FRAMEGRAD_INLINE void fetch_to_write(const void* p) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*static_cast<const char*>(p)));  // the builtin asks for a feature flag, and else fetches to read
#else
  __builtin_prefetch(p, 1);
#endif
}

/// A tile's share: `count` lines, `stride` bytes apart, and with each further step their neighbours.
struct AheadLines {
  const char* data = nullptr;
  Index count = 0, stride = 0;

  FRAMEGRAD_INLINE void fetch() {
    for (Index i = 0; i < count; ++i) __builtin_prefetch(data + i * stride, 0, 2);
    data += 64;
  }
};

/// Rows of memory, `stride` bytes apart, cut into pieces of as many lines as a tile has steps.
struct AheadRows {
  const char* data = nullptr;
  Index rows = 0, bytes = 0, stride = 0;

  FRAMEGRAD_INLINE Index lines() const { return rows * ((bytes + 63) / 64); }

  /// For `tiles` tiles of so many steps.
  FRAMEGRAD_INLINE void spread(Index tiles, Index steps) {
    piece_bytes_ = steps * 64;
    row_pieces_ = (bytes + piece_bytes_ - 1) / piece_bytes_;
    tile_pieces_ = (rows * row_pieces_ + tiles - 1) / tiles;
  }
  /// The next tile's.
  FRAMEGRAD_INLINE AheadLines take() {
    if (next_ >= rows * row_pieces_) return {};
    const AheadLines l{data + next_ / row_pieces_ * stride + next_ % row_pieces_ * piece_bytes_, tile_pieces_, row_pieces_ > 1 ? piece_bytes_ : stride};
    next_ += tile_pieces_;
    return l;
  }

 private:
  Index piece_bytes_ = 0, row_pieces_ = 0, tile_pieces_ = 0, next_ = 0;
};

/// All that the tiles of a block fetch. They count steps in units.
struct Ahead {
  AheadRows a, b;
  Index every = 16;          // units from step to step, a power of two
  const char* to = nullptr;  // lines of the result that an AMX tile's sums go to, to be written
  Index to_stride = 0;

  FRAMEGRAD_INLINE void spread(Index tiles, Index units) {
    a.spread(tiles, units / every > 0 ? units / every : 1);
    b.spread(tiles, units / every > 0 ? units / every : 1);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
