// The memory of one device as both runtimes keep it: what is held, at most, and may be; pools; and where a thread that records takes it from.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda/memory_pool.hpp"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// A piece of memory that somebody has let go of.
struct Released {
  void* p;
  Index bytes;
  int device;
};

/// What a thread does about recording.
struct Recorder {
  MemoryPool* pool = nullptr;
  bool on = false;
  // Of no pool, let go of while recording: what is recorded may use it, so it stays as long as that. Null if not recording: nothing here needs a
  // destructor, since a thread's last releases may come after its objects have gone.
  std::vector<Released>* kept = nullptr;

  static Recorder& of_this_thread() {
    static thread_local Recorder r;
    return r;
  }
  /// Throws RecordingError if this thread is recording already.
  void begin(MemoryPool* from) {
    check<RecordingError>(!on, "recording", "one is under way on this thread");
    from->follow();
    pool = from, on = true, kept = new std::vector<Released>;
    RunningOp::instance().last = {};
  }
  std::vector<Released> end() {
    pool = nullptr, on = false;
    const std::unique_ptr<std::vector<Released>> all(std::exchange(kept, nullptr));
    return std::move(*all);
  }
};

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  void* allocate(Index bytes, int device) {
    const std::lock_guard lock(mutex_);
    const Recorder& r = Recorder::of_this_thread();
    if (r.pool && r.pool->device() == device) return r.pool->take(bytes, [&](Index chunk) { return held(chunk, device); });
    if (r.on) refuse_while_recording("memory of another device");
    return held(bytes, device);
  }
  /// Whether it is a pool's again.
  bool release(void* p, Index bytes, int device) {
    const std::lock_guard lock(mutex_);
    for (auto pool = pools_.begin(); pool != pools_.end(); ++pool) {
      if (!pool->give(p)) continue;
      if (!pool->closed()) return true;
      drop_unused(pool);
      return false;
    }
    if (Recorder& r = Recorder::of_this_thread(); r.on) {
      r.kept->push_back({p, bytes, device});
    } else {
      use_.used_bytes -= bytes;
      drop(p, bytes, device);
    }
    return false;
  }

  MemoryPool* open_pool(int device) {
    const std::lock_guard lock(mutex_);
    return &pools_.emplace_back(device);
  }
  void close_pool(MemoryPool* closed) {
    const std::lock_guard lock(mutex_);
    closed->close();
    drop_unused(std::find_if(pools_.begin(), pools_.end(), [&](const MemoryPool& pool) { return &pool == closed; }));
  }

  MemoryUse use() const {
    const std::lock_guard lock(mutex_);
    return use_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    use_.peak_bytes = use_.used_bytes;
  }
  void limit(Index bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
  }

 private:
  /// Memory of the driver; null if it has none.
  virtual void* fresh(Index bytes, int device) = 0;
  virtual void drop(void* p, Index bytes, int device) = 0;
  /// What else to say where memory is lacking: ", 12 of 80 free", or nothing.
  virtual std::string left(int) const { return {}; }

  void* held(Index bytes, int device) {
    void* p = limit_ == 0 || use_.used_bytes + bytes <= limit_ ? fresh(bytes, device) : nullptr;
    if (!p)
      throw OutOfMemory(text(RunningOp::instance().str(), "allocate: ", bytes, " bytes asked on cuda:", device, ", ", use_.used_bytes, " in use", left(device),
                             limit_ > 0 ? text(", limit ", limit_) : std::string(), "; a smaller batch, checkpointing (checkpoint_blocks) or bf16 needs less"));
    use_.used_bytes += bytes;
    use_.peak_bytes = std::max(use_.peak_bytes, use_.used_bytes);
    return p;
  }
  void drop_unused(std::list<MemoryPool>::iterator pool) {
    const bool none_left = pool->drop_unused([&](void* chunk, Index bytes) {
      use_.used_bytes -= bytes;
      drop(chunk, bytes, pool->device());
    });
    if (none_left) pools_.erase(pool);
  }

  mutable std::mutex mutex_;
  MemoryUse use_;  // what pools hold counts as used: nobody else can have it
  Index limit_ = 0;
  std::list<MemoryPool> pools_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
