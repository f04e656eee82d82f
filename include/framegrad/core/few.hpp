// Few — a list of which N items, or fewer, lie in place: what an op has of inputs and outputs is nearly always that short, and a graph of small
// ops would spend most of its time on memory for lists.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI {

template <class T, std::size_t N>
class Few {
 public:
  Few() = default;
  Few(Few&& o) noexcept : here_(std::move(o.here_)), more_(std::move(o.more_)), size_(std::exchange(o.size_, 0)), room_(std::exchange(o.room_, N)) {}
  Few& operator=(Few&& o) noexcept {
    here_ = std::move(o.here_), more_ = std::move(o.more_);
    size_ = std::exchange(o.size_, 0), room_ = std::exchange(o.room_, N);
    return *this;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return more_ ? more_.get() : here_.data(); }
  T* end() { return begin() + size_; }
  const T* begin() const { return more_ ? more_.get() : here_.data(); }
  const T* end() const { return begin() + size_; }
  T& operator[](std::size_t i) { return begin()[i]; }
  const T& operator[](std::size_t i) const { return begin()[i]; }

  void push_back(T item) {
    if (size_ == room_) {
      const std::size_t room = 2 * room_ + 2;
      std::unique_ptr<T[]> larger(new T[room]());
      std::move(begin(), end(), larger.get());
      more_ = std::move(larger), room_ = room;
    }
    begin()[size_++] = std::move(item);
  }
  /// Items give back what they hold; the list's own memory stays.
  void clear() {
    for (T& item : *this) item = T();
    size_ = 0;
  }

 private:
  std::array<T, N> here_{};
  std::unique_ptr<T[]> more_;
  std::size_t size_ = 0, room_ = N;
};

}  // namespace fg::inline FRAMEGRAD_ABI
