// parallel_for — the one place where work is spread over threads.
//
// A pool of threads that belongs to the process. Work is cut into contiguous ranges; a range never decides how a sum is
// associated, so results don't depend on the number of threads. Nested calls, and calls below the work threshold, run
// on the caller alone. The first exception thrown by a range is thrown again in the caller, after all ranges ended.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// [begin, end)
struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

namespace detail {

/// Runs `task(i)` for i in [0, count) on the pool and on the caller. One job at a time.
class Pool {
 public:
  static Pool& instance() {
    static Pool pool;
    return pool;
  }
  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void resize(int threads) {
    const std::lock_guard lock(entry_);
    stop();
    threads_ = threads < 1 ? 1 : threads;
    start();
  }

  void run(Index count, void (*task)(void*, Index), void* context) {
    std::unique_lock entry(entry_, std::try_to_lock);
    if (!entry.owns_lock() || threads() == 1) {  // another thread of the user's holds the pool: go alone
      for (Index i = 0; i < count; ++i) task(context, i);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      task_ = task, context_ = context, count_ = count;
      next_.store(0, std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work(task, context, count);
    {
      const std::lock_guard lock(mutex_);
      task_ = nullptr;  // a worker that wakes only now has nothing to do, and nobody waits for it
    }
    for (int spin = 0; active_.load(std::memory_order_acquire) != 0; ++spin) spin < 4000 ? pause() : std::this_thread::yield();
  }

  static bool& inside() {
    static thread_local bool inside = false;
    return inside;
  }

 private:
  Pool() {
    int n = int(std::thread::hardware_concurrency());
    if (const char* s = std::getenv("FRAMEGRAD_THREADS")) n = std::atoi(s);
    threads_ = n < 1 ? 1 : n;
    start();
  }
  ~Pool() { stop(); }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  void start() {
    quit_ = false;
    for (int i = 1; i < threads(); ++i) workers_.emplace_back([this, seen = generation_.load()] { loop(seen); });
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
    }
    wake_.notify_all();
    for (auto& w : workers_) w.join();
    workers_.clear();
  }

  void loop(std::uint64_t seen) {
    inside() = true;
    for (;;) {
      // Spin for some microseconds: in a training step the next op follows at once, and a futex wake costs as much.
      for (int spin = 0; spin < 4000 && generation_.load(std::memory_order_acquire) == seen; ++spin) pause();
      void (*task)(void*, Index);
      void* context;
      Index count;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return quit_ || generation_.load(std::memory_order_relaxed) != seen; });
        if (quit_) return;
        seen = generation_.load(std::memory_order_relaxed);
        if (!task_) continue;
        task = task_, context = context_, count = count_;
        active_.fetch_add(1, std::memory_order_relaxed);
      }
      work(task, context, count);
      active_.fetch_sub(1, std::memory_order_release);
    }
  }

  void work(void (*task)(void*, Index), void* context, Index count) {
    for (Index i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, i);
  }

  std::mutex entry_, mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<int> threads_{1}, active_{0};
  std::atomic<Index> next_{0};
  std::atomic<std::uint64_t> generation_{0};
  bool quit_ = false;
  void (*task_)(void*, Index) = nullptr;
  void* context_ = nullptr;
  Index count_ = 0;
};

}  // namespace detail

namespace detail {
/// What the caller of parallel_for has set for its thread and what goes along into its ranges: whether ops are recorded.
inline bool& records_ops() {
  static thread_local bool on = true;
  return on;
}
}  // namespace detail

/// Threads that parallel_for spreads over, the caller included. At start: FRAMEGRAD_THREADS, or one per processor.
inline int threads() { return detail::Pool::instance().threads(); }
/// Throws ConfigError inside parallel_for.
inline void set_threads(int n) {
  check<ConfigError>(!detail::Pool::inside(), "set_threads", "called inside parallel_for");
  detail::Pool::instance().resize(n);
}

/// Below this much work (in units of about a nanosecond) a loop stays on the calling thread.
inline constexpr double kSerialWork = 20e3;

/// Calls f(Range) for ranges that cover [0, n). `cost`: nanoseconds of work an item, roughly.
/// Ranges begin at multiples of `grain`.
template <class F>
void parallel_for(Index n, double cost, F&& f, Index grain = 1) {
  if (n <= 0) return;
  bool& inside = detail::Pool::inside();
  const int width = inside || double(n) * cost < kSerialWork ? 1 : threads();
  if (width == 1) {
    f(Range{0, n});
    return;
  }
  // Up to four ranges a thread: evens out cores of different speed, at little overhead.
  Index ranges = Index(double(n) * cost / (kSerialWork / 4));
  if (ranges > 4 * width) ranges = 4 * width;
  if (ranges < width) ranges = width;
  const Index units = (n + grain - 1) / grain;
  if (ranges > units) ranges = units;
  const Index step = (units + ranges - 1) / ranges * grain;
  ranges = (n + step - 1) / step;

  struct Job {
    std::remove_reference_t<F>* f;
    Index n, step;
    std::mutex mutex;
    std::exception_ptr error;
    bool records_ops;
  } job{&f, n, step, {}, {}, detail::records_ops()};
  inside = true;
  detail::Pool::instance().run(
      ranges,
      [](void* context, Index i) {
        Job& j = *static_cast<Job*>(context);
        const bool before = std::exchange(detail::records_ops(), j.records_ops);
        try {
          const Index begin = i * j.step;
          (*j.f)(Range{begin, begin + j.step < j.n ? begin + j.step : j.n});
        } catch (...) {
          const std::lock_guard lock(j.mutex);
          if (!j.error) j.error = std::current_exception();
        }
        detail::records_ops() = before;
      },
      &job);
  inside = false;
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace fg::inline FRAMEGRAD_ABI
