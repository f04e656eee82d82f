// Storage — a piece of memory that tensors share — and the caching allocator behind it.
//
// A fresh large allocation costs a page fault for every 4 KiB when it is first written, more than many an op's own work.
// So freed blocks are kept and handed out again: small ones by size, large ones in an arena. FRAMEGRAD_ALLOCATOR=system
// switches that off; under AddressSanitizer it is off, so that a use after free is seen.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <framegrad/core/arena.hpp>
#include <framegrad/core/backend.hpp>
#include <framegrad/core/device.hpp>

namespace fg::inline FRAMEGRAD_ABI {

class Allocator {
 public:
  static Allocator& instance() {
    static Allocator* a = new Allocator;  // never destroyed: tensors of static life may outlive any order of destruction
    return *a;
  }

  /// At least `bytes`, aligned to 64. Throws OutOfMemory beyond the limit or when the system has none.
  void* allocate(Index bytes) {
    const Index size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    if (limit_ > 0) keep_to_limit(bytes, size);
    void* p = take(size);
    if (!p) trim_locked(), p = take(size);
    if (!p) fail(bytes);
    use_.used_bytes += size;
    use_.peak_bytes = std::max(use_.peak_bytes, use_.used_bytes);
    return p;
  }

  void release(void* p, Index bytes) {
    const Index size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    use_.used_bytes -= size;
    if (!caching_) return std::free(p);
    if (size >= kLarge) return arena_.release(p, size);
    blocks_of(size).push_back(p);
    use_.cached_bytes += size;
  }

  MemoryUse use() const {
    const std::lock_guard lock(mutex_);
    MemoryUse all = use_;
    all.cached_bytes += arena_.kept();
    return all;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    use_.peak_bytes = use_.used_bytes;
  }
  /// Gives all cached blocks back to the system.
  void trim() {
    const std::lock_guard lock(mutex_);
    trim_locked();
  }
  /// Live tensors may hold this many bytes at most; 0 lifts the limit.
  void limit(Index bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
  }

 private:
  static constexpr Index kSmallest = 64, kLarge = Index(64) << 10;

  Allocator() {
    const char* s = std::getenv("FRAMEGRAD_ALLOCATOR");
    caching_ = !(s && std::strcmp(s, "system") == 0);
#if defined(__SANITIZE_ADDRESS__)
    caching_ = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    caching_ = false;
#endif
#endif
  }

  // Small ones: size classes an eighth of a power of two apart, so at most 12.5 % is lost, and neighbours share blocks.
  static Index step_of(Index bytes) { return bytes < 1024 ? kSmallest : Index(std::bit_floor(std::uint64_t(bytes))) / 8; }
  static Index rounded(Index bytes) {
    const Index step = bytes >= kLarge ? Arena::kGrain : step_of(bytes);
    return bytes <= step ? step : (bytes + step - 1) / step * step;
  }
  /// Free ones of a rounded size below kLarge.
  std::vector<void*>& blocks_of(Index size) {
    const Index step = step_of(size);
    return blocks_[std::size_t(size / step - 1 + 8 * std::countr_zero(std::uint64_t(step / kSmallest)))];
  }

  /// A block of a rounded size; null if the system has no more.
  void* take(Index size) {
    if (!caching_) return std::aligned_alloc(64, std::size_t(size));
    if (size >= kLarge) return arena_.allocate(size);
    auto& free_blocks = blocks_of(size);
    if (free_blocks.empty()) return std::aligned_alloc(64, std::size_t(size));
    void* const p = free_blocks.back();
    free_blocks.pop_back();
    use_.cached_bytes -= size;
    return p;
  }
  void keep_to_limit(Index bytes, Index size) {
    if (use_.used_bytes + size > limit_) fail(bytes);
    const Index growth = size >= kLarge ? arena_.growth(size) : blocks_of(size).empty() ? size : 0;
    if (use_.used_bytes + use_.cached_bytes + arena_.kept() + growth > limit_) trim_locked();
  }
  void trim_locked() {
    for (auto& list : blocks_) {
      for (void* p : list) std::free(p);
      list = {};
    }
    use_.cached_bytes = 0;
    arena_.trim();
  }
  [[noreturn]] void fail(Index bytes) const {
    throw OutOfMemory(text("allocate: ", bytes, " bytes asked, ", use_.used_bytes, " in use",
                           limit_ > 0 ? text(", limit ", limit_) : std::string(), "; a smaller batch or checkpointing needs less"));
  }

  mutable std::mutex mutex_;
  std::array<std::vector<void*>, 16 + 8 * 6> blocks_;  // small free ones by size class: sixteen below 1 KiB, then eight to each power of two
  Arena arena_;                                          // large ones
  MemoryUse use_;                                        // cached_bytes of small ones
  Index limit_ = 0;
  bool caching_ = true;
};

/// What meta tensors would hold: counted, never allocated. One count a thread.
struct MetaMemory {
  Index used_bytes = 0, peak_bytes = 0;
  static MetaMemory& instance() {
    static thread_local MetaMemory m;
    return m;
  }
};

class Storage {
 public:
  Storage(Index bytes, Device device) : bytes_(bytes), device_(device) {
    if (device.kind == Device::Kind::meta) {
      auto& m = MetaMemory::instance();
      m.used_bytes += bytes;
      m.peak_bytes = std::max(m.peak_bytes, m.used_bytes);
    } else if (device.kind == Device::Kind::cuda) {
      check<DeviceError>(kWithCuda, "Storage", "no memory on ", device, " in this build: link framegrad::cuda");
      if constexpr (kWithCuda) data_ = cuda::allocate(bytes, device.index);
    } else {
      data_ = Allocator::instance().allocate(bytes);
    }
  }
  /// Foreign memory: `deleter` runs when the last tensor lets go.
  Storage(void* data, Index bytes, std::function<void()> deleter) : data_(data), bytes_(bytes), deleter_(std::move(deleter)), foreign_(true) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() {
    if (foreign_) {
      if (deleter_) deleter_();
    } else if (device_.kind == Device::Kind::meta) {
      MetaMemory::instance().used_bytes -= bytes_;
    } else if (device_.kind == Device::Kind::cuda) {
      if constexpr (kWithCuda) cuda::release(data_, bytes_, device_.index);
    } else {
      Allocator::instance().release(data_, bytes_);
    }
  }

  void* data() const { return data_; }
  Index bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool foreign() const { return foreign_; }

  /// Counts the writes that were announced by touch(): backward compares it with what it was when a tensor was saved.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void touch() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void* data_ = nullptr;
  Index bytes_ = 0;
  Device device_;
  std::atomic<std::uint64_t> version_{0};
  std::function<void()> deleter_;
  bool foreign_ = false;
};

}  // namespace fg::inline FRAMEGRAD_ABI
