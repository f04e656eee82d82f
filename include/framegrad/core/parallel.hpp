// parallel_for — the one place where work is spread over threads.
//
// A pool of threads that belongs to the process, or an executor of the user's own. Work is cut into contiguous ranges; a range never
// decides how a sum is associated, so results don't depend on the number of threads. Nested calls, and calls below the work threshold,
// run on the caller alone. The first exception thrown by a range is thrown again in the caller, after all ranges ended.
//
// What the caller has set for its thread goes along into the ranges: whether ops are recorded, and where the random numbers of training
// stand. Each range begins with the caller's, and the caller's are afterwards what they were: what is drawn in a range doesn't depend on
// the number of threads only if each item says where its numbers begin (ReplayRandom).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <framegrad/core/error.hpp>
#include <framegrad/core/random_state.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// [begin, end)
struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

/// Threads of the user's own for parallel_for.
struct Executor {
  int threads = 1;  // that work at the same time, the caller included
  /// Calls task(i) once for each i in [0, count), on whatever threads, and returns when all have ended. May be called by several threads.
  std::function<void(Index count, const std::function<void(Index)>& task)> run = {};
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
    executor_.reset();
    threads_ = threads < 1 ? 1 : threads;
    start();
  }
  void take(Executor executor) {
    const std::lock_guard lock(entry_);
    stop();
    threads_ = executor.threads;
    executor_ = std::make_shared<const Executor>(std::move(executor));
  }

  void run(Index count, void (*task)(void*, Index), void* context) {
    std::unique_lock entry(entry_, std::try_to_lock);
    if (const auto executor = entry.owns_lock() ? executor_ : nullptr) {
      entry.unlock();
      std::atomic<Index> ended{0};
      executor->run(count, [&](Index i) {
        task(context, i);
        ended.fetch_add(1, std::memory_order_relaxed);
      });
      check<ConfigError>(ended == count, "parallel_for", "the executor came back after ", ended.load(), " of ", count, " tasks");
      return;
    }
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
      // Spin for some microseconds: in a training step the next op follows at once, and a futex wake costs as much. Whoever else wants this processor,
      // maybe the caller itself, gets it meanwhile.
      for (int spin = 1; spin < 4000 && generation_.load(std::memory_order_acquire) == seen; ++spin) spin % 64 == 0 ? std::this_thread::yield() : pause();
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
  std::shared_ptr<const Executor> executor_;
  bool quit_ = false;
  void (*task_)(void*, Index) = nullptr;
  void* context_ = nullptr;
  Index count_ = 0;
};

/// Whether this thread's ops are recorded.
inline bool& records_ops() {
  static thread_local bool on = true;
  return on;
}

/// What goes along into ranges: set for a thread, and on destruction what was set before.
class ThreadSettings {
 public:
  ThreadSettings(bool inside, bool records_ops, const RandomState& random)
      : inside_(std::exchange(Pool::inside(), inside)), records_ops_(std::exchange(detail::records_ops(), records_ops)), random_(random) {}
  ~ThreadSettings() { Pool::inside() = inside_, detail::records_ops() = records_ops_; }
  ThreadSettings(const ThreadSettings&) = delete;
  ThreadSettings& operator=(const ThreadSettings&) = delete;

 private:
  bool inside_, records_ops_;
  ReplayRandom random_;
};

}  // namespace detail

/// Threads that parallel_for spreads over, the caller included. At start: FRAMEGRAD_THREADS, or one per processor.
inline int threads() { return detail::Pool::instance().threads(); }
/// The process's own pool, of n threads; an executor is no longer used. Throws ConfigError inside parallel_for.
inline void set_threads(int n) {
  check<ConfigError>(!detail::Pool::inside(), "set_threads", "called inside parallel_for");
  detail::Pool::instance().resize(n);
}
/// parallel_for runs on these threads from now on, and the process's own pool ends. Throws ConfigError inside parallel_for.
inline void set_executor(Executor executor) {
  check<ConfigError>(!detail::Pool::inside(), "set_executor", "called inside parallel_for");
  check<ConfigError>(executor.threads >= 1 && executor.run, "set_executor", executor.threads, " threads", executor.run ? "" : " and nothing to run tasks with");
  detail::Pool::instance().take(std::move(executor));
}

/// Below this much work (in units of about a nanosecond) a loop stays on the calling thread: two threads that spin gain from some 3 µs on, but where
/// they sleep, and a wake costs 10 µs and more, no sooner than here.
inline constexpr double kSerialWork = 20e3;

/// Calls f(Range) for ranges that cover [0, n). `cost`: nanoseconds of work an item, roughly.
/// Ranges begin at multiples of `grain`. Up to `most` ranges a thread: they even out cores of different speed, at little overhead.
template <class F>
void parallel_for(Index n, double cost, F&& f, Index grain = 1, Index most = 4) {
  if (n <= 0) return;
  const bool inside = detail::Pool::inside(), records_ops = detail::records_ops();
  const RandomState random = RandomState::instance();
  const int width = inside || double(n) * cost < kSerialWork ? 1 : threads();
  if (width == 1) {
    const ReplayRandom as_in_a_task(random);
    f(Range{0, n});
    return;
  }
  Index ranges = Index(double(n) * cost / (kSerialWork / 4));
  if (ranges > most * width) ranges = most * width;
  if (ranges < width) ranges = width;
  const Index units = (n + grain - 1) / grain;
  if (ranges > units) ranges = units;

  struct Job {
    std::remove_reference_t<F>* f;
    Index n, units, ranges, grain;
    bool records_ops;
    const RandomState* random;
    std::mutex mutex;
    std::exception_ptr error;
    Index begin(Index range) const { return range * units / ranges * grain; }  // no two ranges differ by more than a grain
  } job{&f, n, units, ranges, grain, records_ops, &random, {}, {}};
  detail::Pool::instance().run(
      ranges,
      [](void* context, Index i) {
        Job& j = *static_cast<Job*>(context);
        const detail::ThreadSettings of_the_caller(true, j.records_ops, *j.random);
        try {
          const Index end = j.begin(i + 1);
          (*j.f)(Range{j.begin(i), end < j.n ? end : j.n});
        } catch (...) {
          const std::lock_guard lock(j.mutex);
          if (!j.error) j.error = std::current_exception();
        }
      },
      &job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace fg::inline FRAMEGRAD_ABI
