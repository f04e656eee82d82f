// Staging — copies between host memory that may be swapped out and a GPU, by way of a ring of pinned buffers.
//
//   up      host → buffer (memcpy), buffer → device (queued)     the host memory is free again at once; small copies share a buffer
//   down    device → buffers (queued, as many as there are), and buffer → host as each arrives
//
// A buffer comes round again when the event behind its last copy has passed: up waits for the device only when the ring is full of copies under way.
// Copies is the runtime's part (cuda/runtime.cu): Event, make_event, pin, unpin (which waits for the event), mark, wait, up, down.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class Copies>
class Staging {
 public:
  static constexpr Index kBuffers = 4, kBytes = Index(4) << 20;  // a buffer takes 0.1 to 0.2 ms on its way

  explicit Staging(Copies copies = {}) : copies_(std::move(copies)) {}
  ~Staging() {
    for (Buffer& b : ring_)
      if (b.p) copies_.unpin(b.p, b.event);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void up(void* to, const void* host, Index bytes) {
    for (Index done = 0; done < bytes;) {
      Buffer& b = ring_[now_].p && ring_[now_].used < kBytes ? ring_[now_] : next();
      const Index n = std::min(bytes - done, kBytes - b.used);
      std::memcpy(b.p + b.used, static_cast<const char*>(host) + done, std::size_t(n));
      copies_.up(static_cast<char*>(to) + done, b.p + b.used, n);
      mark(b);
      b.used = std::min(kBytes, (b.used + n + 255) / 256 * 256);
      done += n;
    }
  }
  /// Returns when the host has it all.
  void down(void* host, const void* from, Index bytes) {
    Index asked = 0, done = 0;
    const std::size_t first = (now_ + 1) % ring_.size();
    const auto buffer_of = [&](Index piece) -> Buffer& { return ring_[(first + std::size_t(piece / kBytes)) % ring_.size()]; };
    while (done < bytes) {
      for (; asked < bytes && asked < done + kBuffers * kBytes; asked += kBytes) {
        Buffer& b = next();
        b.used = kBytes;
        copies_.down(b.p, static_cast<const char*>(from) + asked, std::min(kBytes, bytes - asked));
        mark(b);
      }
      Buffer& b = buffer_of(done);
      const Index n = std::min(kBytes, bytes - done);
      wait(b);
      std::memcpy(static_cast<char*>(host) + done, b.p, std::size_t(n));
      done += n;
    }
  }

 private:
  struct Buffer {
    char* p = nullptr;
    typename Copies::Event event{};
    Index used = 0;
    bool under_way = false;
  };

  /// The buffer whose turn it is, empty.
  Buffer& next() {
    now_ = (now_ + 1) % ring_.size();
    Buffer& b = ring_[now_];
    if (!b.p) {
      b.event = copies_.make_event();
      b.p = static_cast<char*>(copies_.pin(kBytes));
    }
    wait(b);
    b.used = 0;
    return b;
  }
  void mark(Buffer& b) {
    copies_.mark(b.event);
    b.under_way = true;
  }
  void wait(Buffer& b) {
    if (b.under_way) copies_.wait(b.event);
    b.under_way = false;
  }

  Copies copies_;
  std::array<Buffer, kBuffers> ring_;
  std::size_t now_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
