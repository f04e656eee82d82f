// Arena — large blocks cut from one stretch of memory: from the tightest free piece that holds them, otherwise from its end.
//
// A freed block joins its neighbours, so what one size left free serves any other, and the stretch needs to be little longer than what
// lives at most at a time: 1 to 5 % in the training step of an STDiT. Address space is taken as it is needed, always behind what is there,
// and in huge pages, which cost fewer faults and fewer TLB misses. Not for several threads at once.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI {

class Arena {
 public:
  static constexpr Index kGrain = 4096;  // a page: all sizes are multiples of it, all blocks are aligned to it

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { trim(); }

  /// Null if the system has no more.
  void* allocate(Index size) {
    const auto piece = tightest(size);
    if (piece != free_.end()) {
      char* const p = piece->begin;
      kept_ -= size;
      if (piece->size == size) free_.erase(piece);
      else piece->begin += size, piece->size -= size;
      return p;
    }
    if (end_ - next_ < size && !lengthen(size) && !(begin_elsewhere(size) && lengthen(size))) return nullptr;
    char* const p = next_;
    next_ += size;
    reached_ = std::max(reached_, next_);
    return p;
  }

  void release(void* block, Index size) {
    Piece joined{static_cast<char*>(block), size};
    auto at = std::lower_bound(free_.begin(), free_.end(), joined, [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    kept_ += size;
    if (at != free_.end() && joined.end() == at->begin) joined.size += at->size, at = free_.erase(at);
    if (at != free_.begin() && (at - 1)->end() == joined.begin) {
      --at;
      joined = {at->begin, at->size + joined.size};
      at = free_.erase(at);
    }
    if (joined.end() == next_) next_ = joined.begin, kept_ -= joined.size;
    else free_.insert(at, joined);
  }

  /// Bytes that blocks had and that lie free.
  Index kept() const { return kept_ + (reached_ - next_); }
  /// Bytes that allocate(size) would have beyond what blocks ever had.
  Index growth(Index size) { return tightest(size) == free_.end() ? std::max<Index>(next_ + size - reached_, 0) : 0; }

  /// Gives all that is free back to the system.
  void trim() {
    for (const Piece& p : free_) ::munmap(p.begin, std::size_t(p.size));
    free_.clear(), kept_ = 0;
    if (end_ > next_) ::munmap(next_, std::size_t(end_ - next_));
    next_ = reached_ = end_ = up_to_huge(next_);
  }

 private:
  static constexpr Index kHuge = Index(2) << 20;

  struct Piece {
    char* begin;
    Index size;
    char* end() const { return begin + size; }
  };

  /// A step has some tens of pieces at most: to look at all costs less than to keep them by size.
  std::vector<Piece>::iterator tightest(Index size) {
    auto best = free_.end();
    for (auto p = free_.begin(); p != free_.end(); ++p)
      if (p->size >= size && (best == free_.end() || p->size < best->size)) best = p;
    return best;
  }

  static char* up_to_huge(char* p) { return p + (kHuge - Index(reinterpret_cast<std::uintptr_t>(p)) % kHuge) % kHuge; }

  /// Whether there is now room for `size` behind what is handed out. Not if other mappings lie behind it.
  bool lengthen(Index size) {
    if (!end_) return false;
    const Index more = (size - (end_ - next_) + kHuge - 1) / kHuge * kHuge;
    void* const p = ::mmap(end_, std::size_t(more), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    if (p != end_) return ::munmap(p, std::size_t(more)), false;
    ::madvise(p, std::size_t(more), MADV_HUGEPAGE);  // a hint
    end_ += more;
    return true;
  }

  /// Goes on where much address space is free, if there is enough for `size`: found by taking it and giving it back.
  bool begin_elsewhere(Index size) {
    for (Index room = Index(1) << 40; room >= size + kHuge; room /= 4) {
      void* const p = ::mmap(nullptr, std::size_t(room), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) continue;
      ::munmap(p, std::size_t(room));
      const Piece behind{next_, reached_ - next_};
      if (end_ > reached_) ::munmap(reached_, std::size_t(end_ - reached_));
      next_ = reached_ = end_ = up_to_huge(static_cast<char*>(p));
      if (behind.size > 0) release(behind.begin, behind.size);
      return true;
    }
    return false;
  }

  std::vector<Piece> free_;  // by address; no two of them touch, and none touches next_
  Index kept_ = 0;           // bytes in them
  char* next_ = nullptr;     // behind the last block that is in use
  char* reached_ = nullptr;  // how far blocks ever went
  char* end_ = nullptr;      // how far the memory goes; behind it more is asked for
};

}  // namespace fg::inline FRAMEGRAD_ABI
