// A block's dynamic shared memory. Each block finds it full of 0xff: NaN as float, bf16 and half, −1 as an integer.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <new>

#include <cuda/simt/engine.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() {
    if (memory_) ::munmap(memory_, kMapped);
  }

  unsigned char* data() const { return memory_; }
  std::size_t bytes() const { return bytes_; }
  /// Is it an address of the memory, or of where an index beyond its end would land?
  bool near(const void* p) const { return memory_ && p >= memory_ && p < memory_ + kMapped; }

  void begin_block(std::size_t bytes) {
    if (!memory_) {
      void* p = ::mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) throw std::bad_alloc();
      memory_ = static_cast<unsigned char*>(p);
    }
    bytes_ = bytes;
    std::memset(memory_, kPoison, bytes + kCanary);
  }

  /// Did nobody write just behind the end?
  bool intact() const {
    for (std::size_t i = 0; i < kCanary; ++i) {
      if (memory_[bytes_ + i] != kPoison) return false;
    }
    return true;
  }

  static constexpr unsigned char kPoison = 0xff;

 private:
  static constexpr std::size_t kCanary = 128;
  static constexpr std::size_t kMapped = kMaxShared + (64 << 10);
  unsigned char* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
