// MemoryPool — memory that comes again at the same addresses: what is recorded may then run again with the addresses that it knows.
//
// A run after `plan` notes each piece that it takes; a run after `follow` is given the same pieces in the same order. While it plans, a piece
// goes to the smallest gap that holds it, gaps side by side join, and chunks are added where no gap is large enough.
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include <framegrad/core/backend.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

class MemoryPool {
 public:
  explicit MemoryPool(int device) : device_(device) {}
  int device() const { return device_; }

  void plan() { plan_.clear(), following_ = false; }
  void follow() { next_ = 0, following_ = true; }

  /// A piece, aligned to 256. fresh(bytes) gives a chunk or throws. Throws RecordingError where a run doesn't do what the planned one did.
  template <class F>
  void* take(Index bytes, F&& fresh) {
    const Index size = (bytes + 256) / 256 * 256;  // one unused byte at least: simt's detectors see who runs out of a piece
    char* p = nullptr;
    if (following_) {
      check<RecordingError>(next_ < plan_.size() && plan_[next_].first == size, "recording", bytes, " bytes are asked for, in the run before it ",
                            next_ < plan_.size() ? text("was ", plan_[next_].first) : std::string("ended here"), ": what is recorded must do the same each time");
      p = plan_[next_++].second;
    } else {
      p = gap_for(size, fresh);
      plan_.emplace_back(size, p);
    }
    auto piece = pieces_.upper_bound(p);
    check<RecordingError>(piece != pieces_.begin() && covers(*--piece, p, size), "recording", bytes,
                          " bytes are asked for where the run before had let go of others: what is recorded must do the same each time");
    gaps_.erase({piece->second.bytes, piece->first});
    piece = cut(piece, p);
    gaps_.erase({piece->second.bytes, p});
    cut(piece, p + size);
    gaps_.erase({size, p});
    piece->second.free = false;
    return p;
  }

  /// Takes a piece back; false if it isn't one of this pool.
  bool give(void* p) {
    auto piece = pieces_.find(static_cast<char*>(p));
    if (piece == pieces_.end() || piece->second.free) return false;
    piece->second.free = true;
    if (const auto next = std::next(piece); next != pieces_.end() && next->second.free && !next->second.begins_chunk) join(piece, next);
    if (!piece->second.begins_chunk)
      if (const auto before = std::prev(piece); before->second.free) {
        gaps_.erase({before->second.bytes, before->first});
        join(before, piece);
        piece = before;
      }
    gaps_.emplace(piece->second.bytes, piece->first);
    return true;
  }

  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  /// drop(chunk, bytes) for each chunk of which nothing is in use. Returns whether none is left.
  template <class F>
  bool drop_unused(F&& drop) {
    for (auto piece = pieces_.begin(); piece != pieces_.end();) {
      const auto next = std::next(piece);
      if (piece->second.free && piece->second.begins_chunk && (next == pieces_.end() || next->second.begins_chunk)) {
        gaps_.erase({piece->second.bytes, piece->first});
        drop(static_cast<void*>(piece->first), piece->second.bytes);
        pieces_.erase(piece);
      }
      piece = next;
    }
    return pieces_.empty();
  }

 private:
  static constexpr Index kChunk = Index(2) << 20;  // at least: small pieces share one

  struct Piece {
    Index bytes;
    bool free, begins_chunk;
  };
  using Pieces = std::map<char*, Piece>;

  static bool covers(const Pieces::value_type& gap, const char* p, Index size) {
    return gap.second.free && p + size <= gap.first + gap.second.bytes;
  }
  template <class F>
  char* gap_for(Index size, F&& fresh) {
    if (const auto gap = gaps_.lower_bound({size, nullptr}); gap != gaps_.end()) return gap->second;
    const Index bytes = size > kChunk ? size : kChunk;
    char* const chunk = static_cast<char*>(fresh(bytes));
    pieces_.emplace(chunk, Piece{bytes, true, true});
    gaps_.emplace(bytes, chunk);
    return chunk;
  }
  /// Parts a gap at p; returns the part that begins there. Both parts are gaps.
  Pieces::iterator cut(Pieces::iterator piece, char* p) {
    const Index before = p - piece->first, after = piece->second.bytes - before;
    if (before == 0 || after == 0) return piece;
    piece->second.bytes = before;
    gaps_.emplace(before, piece->first), gaps_.emplace(after, p);
    return pieces_.emplace(p, Piece{after, true, false}).first;
  }
  /// `next` becomes a part of `piece`.
  void join(Pieces::iterator piece, Pieces::iterator next) {
    gaps_.erase({next->second.bytes, next->first});
    piece->second.bytes += next->second.bytes;
    pieces_.erase(next);
  }

  int device_;
  Pieces pieces_;
  std::set<std::pair<Index, char*>> gaps_;
  std::vector<std::pair<Index, char*>> plan_;
  std::size_t next_ = 0;
  bool following_ = false, closed_ = false;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
