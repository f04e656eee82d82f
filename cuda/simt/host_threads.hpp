// The machine with a host thread for each CUDA thread (SIMT_HOST_THREADS): slow, and meant for ThreadSanitizer, which then
// judges the kernel's shared memory by its own rules. Blocks run one after another.
//
// A barrier is a lock and a condition variable of the block, a collective one of the warp. So to ThreadSanitizer a shuffle orders
// the lanes' memory, which it does not on a GPU: races within a warp are the detectors' business (detectors.hpp).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include <cuda/simt/check_launch.hpp>
#include <cuda/simt/observer.hpp>
#include <cuda/simt/shared_memory.hpp>
#include <cuda/simt/source.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

struct Warp {
  std::mutex mutex;
  std::condition_variable opened;
  unsigned alive = 0, mask = 0, arrived = 0;
  std::uint64_t round = 0;
  const Collective* kind = nullptr;
};

class Block {
 public:
  explicit Block(const Launch& launch) : launch_(launch), count_(launch.block.x * launch.block.y * launch.block.z), threads_(count_), warps_(kMaxThreads / kWarp) {
    for (unsigned i = 0; i < count_; ++i) {
      Thread& t = threads_[i];
      t.id = i, t.lane = i % kWarp, t.warp = &warps_[i / kWarp];
      t.index = {i % launch.block.x, i / launch.block.x % launch.block.y, i / launch.block.x / launch.block.y};
    }
  }

  void run() {
    begin({0, 0, 0});
    std::vector<std::thread> hosts;
    for (unsigned i = 0; i < count_; ++i) hosts.emplace_back([this, i] { work(threads_[i]); });
    for (auto& h : hosts) h.join();
    if (error_) std::rethrow_exception(error_);
  }

  Tally barrier(bool predicate) {
    std::unique_lock lock(mutex_);
    tally_.count += predicate, ++tally_.participants;
    return meet(lock, alive_);
  }

  void collective(const Collective& kind, unsigned mask, void* operand, Where where) {
    Thread& t = *current.thread;
    Warp& w = *t.warp;
    std::unique_lock lock(w.mutex);
    t.operand = operand;
    // Groups of lanes with different masks come one after the other: the later one waits for the earlier to be done.
    if (!w.opened.wait_for(lock, kPatience, [&] { return stop_ || w.arrived == 0 || w.mask == mask; })) stuck(kind.name, where);
    if (stop_) throw Stopped{};
    if (!(mask >> t.lane & 1) || (mask & ~w.alive) || (w.arrived && w.kind != &kind)) {
      lock.unlock();
      fail(text(kind.name, " with mask ", mask_text(mask), " at ", place_text(where), ": a lane is missing or came to another one"), nullptr);
    }
    w.mask = mask, w.kind = &kind;
    w.arrived |= 1u << t.lane;
    if (w.arrived == mask) {
      kind.complete(&t - t.lane, mask);
      w.arrived = 0;
      ++w.round;
      w.opened.notify_all();
      return;
    }
    const std::uint64_t round = w.round;
    if (!w.opened.wait_for(lock, kPatience, [&] { return stop_ || w.round != round; })) stuck(kind.name, where);
    if (stop_) throw Stopped{};
  }

  [[noreturn]] void fail(const std::string& what, const void* pc) {
    stop(std::make_exception_ptr(Fault(text("simt: kernel ", function_name(launch_.kernel), ", block ", index_text(blockIdx), ", thread ", index_text(threadIdx), ": ", what, pc ? place_lines(pc) : ""))));
    throw Stopped{};
  }
  unsigned alive_lanes() {
    Warp& w = *current.thread->warp;
    const std::lock_guard lock(w.mutex);
    return w.alive;
  }

 private:
  struct Stopped {};
  static constexpr std::chrono::seconds kPatience{60};  // nobody takes so long: it is a deadlock

  void begin(uint3 index) {
    index_ = index;
    alive_ = count_;
    tally_ = {0, 0};
    for (unsigned i = 0; i < count_; i += kWarp) {
      const unsigned lanes = count_ - i;
      warps_[i / kWarp].alive = lanes >= kWarp ? ~0u : (1u << lanes) - 1;
    }
    shared_.begin_block(launch_.shared_bytes);
  }

  void work(Thread& t) {
    threadIdx = t.index, blockDim = launch_.block, gridDim = launch_.grid;
    for (bool more = true; more;) {
      blockIdx = index_;
      current = {&t, this, shared_.data(), t.lane, 0, false};
      t.copies.clear();
      t.first_copy = 0, t.groups = 0;
      try {
        launch_.entry(launch_.context);
        leave(t);
      } catch (const Stopped&) {
      } catch (...) {
        stop(std::current_exception());
      }
      more = next_block();
    }
    current = {};
  }

  void leave(Thread& t) {
    {
      const std::lock_guard lock(t.warp->mutex);
      t.warp->alive &= ~(1u << t.lane);
    }
    std::unique_lock lock(mutex_);
    --alive_;
    if (alive_ > 0 && unsigned(tally_.participants) == alive_) open();
  }

  // The last thread out prepares the next block. → is there one?
  bool next_block() {
    std::unique_lock lock(mutex_);
    const std::uint64_t round = end_round_;
    if (++finished_ == count_) {
      finished_ = 0;
      uint3 n = index_;
      if (++n.x == launch_.grid.x) n.x = 0, ++n.y;
      if (n.y == launch_.grid.y) n.y = 0, ++n.z;
      more_ = n.z < launch_.grid.z && !stop_;
      if (more_) begin(n);
      ++end_round_;
      opened_.notify_all();
    } else {
      opened_.wait(lock, [&] { return end_round_ != round; });
    }
    return more_;
  }

  Tally meet(std::unique_lock<std::mutex>& lock, unsigned all) {
    const std::uint64_t round = round_;
    if (unsigned(tally_.participants) == all) {
      open();
    } else if (!opened_.wait_for(lock, kPatience, [&] { return stop_ || round_ != round; })) {
      lock.unlock();
      fail("deadlock at a barrier", nullptr);
    }
    if (stop_) throw Stopped{};
    return result_;
  }
  void open() {
    result_ = tally_;
    tally_ = {0, 0};
    ++round_;
    opened_.notify_all();
  }

  [[noreturn]] void stuck(const char* name, Where where) {
    stop(std::make_exception_ptr(Fault(text("simt: kernel ", function_name(launch_.kernel), ": deadlock in ", name, " at ", place_text(where)))));
    throw Stopped{};
  }
  void stop(std::exception_ptr error) {
    {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = error;
      stop_ = true;
      opened_.notify_all();
    }
    for (Warp& w : warps_) w.opened.notify_all();
  }

  const Launch& launch_;
  unsigned count_, alive_ = 0, finished_ = 0;
  uint3 index_{};
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  SharedMemory shared_;
  std::mutex mutex_;
  std::condition_variable opened_;
  std::uint64_t round_ = 0, end_round_ = 0;
  Tally tally_{0, 0}, result_{0, 0};
  bool more_ = true;
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;
};

inline void run(const Launch& l) {
  check_launch(l);
  Block(l).run();
}
inline void collective(const Collective& kind, unsigned mask, void* operand, Where where) { current.block->collective(kind, mask, operand, where); }
inline Tally barrier(const char*, bool predicate, Where) { return current.block->barrier(predicate); }
inline void yield() { std::this_thread::yield(); }
inline unsigned alive_lanes() { return current.block->alive_lanes(); }
inline void lanes_met(Thread*, unsigned) {}
inline void fail(const std::string& what, const void* pc) {
  if (!current.block) throw Fault(text("simt: ", what));
  current.block->fail(what, pc);
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
