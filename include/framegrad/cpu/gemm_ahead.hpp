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

/// What one tile fetches while its k runs, a line or two at a time, spread over the whole sum: many at once would hold its own loads up.
/// Of what is needed later only the first piece, if a tile's share is several.
struct TileAhead {
  /// A row of `next`, next_stride bytes apart, each units/rows steps. `some` is fetched again where nothing is needed.
  FRAMEGRAD_INLINE TileAhead(Ahead* ahead, Index units, Index rows, Index step, const char* next, Index next_stride, const void* some)
      : sums_(next), stride_(next_stride), every_(units >= rows ? units / rows * step : step), mask_(ahead->every - 1) {
    a_ = ahead->a.take().data, b_ = ahead->b.take().data;
    if (!a_) a_ = static_cast<const char*>(some);
    if (!b_) b_ = static_cast<const char*>(some);
  }
  /// Before unit u. A row of sums is so many bytes long.
  template <int bytes>
  FRAMEGRAD_INLINE void fetch(Index u) {
    if (u == row_) {
      fetch_to_write(sums_);
      if constexpr (bytes > 64) fetch_to_write(sums_ + 64);
      sums_ += stride_, row_ += every_;
    }
    if ((u & mask_) == 0) {
      __builtin_prefetch(a_, 0, 2), __builtin_prefetch(b_, 0, 2);
      a_ += 64, b_ += 64;
    }
  }

 private:
  const char *sums_, *a_, *b_;
  Index stride_, every_, mask_, row_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
