// Recording — what a thread queues on a GPU, noted once and queued again at once: a CUDA graph.
//
//   Pool pool(device);
//   { TrialRun trial(pool); f(); }              f runs, and the pool notes which memory it takes
//   RecordingScope recording(pool);
//   f();                                        nothing runs; each launch, copy and fill is noted with its addresses and numbers
//   Replay replay = recording.end();
//   replay();                                   all of it runs, as often as one likes, on the thread that recorded
//
// What f reads and writes outside of its own memory has to stay where it was: nn/recorded.hpp sees to that. What would not happen again is
// refused with a RecordingError that names the op: copies from and to the host, waiting, random numbers, another device. f must ask for the same
// memory in both runs. Without kernels (kWithCuda) there is nothing to record.
#pragma once

#include <memory>

#include <framegrad/core/backend.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Memory for recorded functions, on one device. It goes back when the pool dies, but for what tensors still have.
class Pool {
 public:
  explicit Pool(Device device) {
    if constexpr (kWithCuda) pool_.reset(cuda::open_pool(device.index));
  }
  cuda::MemoryPool* get() const { return pool_.get(); }

 private:
  struct Close {
    void operator()(cuda::MemoryPool* p) const {
      if constexpr (kWithCuda) cuda::close_pool(p);
    }
  };
  std::unique_ptr<cuda::MemoryPool, Close> pool_;
};

/// While it lives, this thread's memory comes from the pool, and the pool notes which. One at a time.
class TrialRun {
 public:
  explicit TrialRun(const Pool& pool) {
    under_way() = true;
    if constexpr (kWithCuda) cuda::take_from(pool.get());
  }
  ~TrialRun() {
    if constexpr (kWithCuda) cuda::take_from(nullptr);
    under_way() = false;
  }
  TrialRun(const TrialRun&) = delete;
  TrialRun& operator=(const TrialRun&) = delete;

  /// Whether this thread is in one.
  static bool& under_way() {
    static thread_local bool now = false;
    return now;
  }
};

/// What was recorded, to be queued again.
class Replay {
 public:
  Replay() = default;
  explicit Replay(cuda::Graph* graph) : graph_(graph) {}
  /// Throws DeviceError on another thread than the one that recorded.
  void operator()() const {
    if constexpr (kWithCuda) cuda::replay(graph_.get());
  }

 private:
  struct Close {
    void operator()(cuda::Graph* g) const {
      if constexpr (kWithCuda) cuda::close_graph(g);
    }
  };
  std::unique_ptr<cuda::Graph, Close> graph_;
};

/// While it lives and has not ended, what this thread queues is noted and not run. Throws RecordingError if the thread is recording already.
class RecordingScope {
 public:
  explicit RecordingScope(const Pool& pool) {
    if constexpr (kWithCuda) cuda::begin_recording(pool.get());
  }
  ~RecordingScope() {
    if constexpr (kWithCuda)
      if (!ended_) cuda::abandon_recording();
  }
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

  /// Throws RecordingError if something has broken the recording.
  Replay end() {
    ended_ = true;
    if constexpr (kWithCuda) return Replay(cuda::end_recording());
    return {};
  }

 private:
  bool ended_ = false;
};

}  // namespace fg::inline FRAMEGRAD_ABI
