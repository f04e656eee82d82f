// A block of CUDA threads on one host thread: who runs next, barriers, collectives of a warp, and who waits in vain.
//
// The list of ready threads is a stack for what a collective releases, so that a warp goes on while its data are in the
// cache; threads are started one after another, each as far as it gets, and a thread that never waits costs no switch at all.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include <cuda/simt/engine.hpp>
#include <cuda/simt/observer.hpp>
#include <cuda/simt/shared_memory.hpp>
#include <cuda/simt/source.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

struct Warp {
  struct Slot {
    unsigned mask, arrived;
    const Collective* kind;
    Where where;
  };
  unsigned alive = 0;  // lanes that exist and have not returned
  int pending = 0;     // slots in use: lanes of disjoint masks wait apart
  std::array<Slot, kWarp> slots;
};

/// Threads that can go on. Holds each thread once at most.
class ReadyList {
 public:
  bool empty() const { return head_ == tail_; }
  void clear() { head_ = tail_ = 0; }
  void push_back(Thread* t) { ring_[tail_++ % kSize] = t; }
  void push_front(Thread* t) { ring_[--head_ % kSize] = t; }
  Thread* pop() { return ring_[head_++ % kSize]; }

 private:
  static constexpr unsigned kSize = 2 * kMaxThreads;
  unsigned head_ = 0, tail_ = 0;
  std::array<Thread*, kSize> ring_;
};

class Block {
 public:
  static Block& of_this_host_thread() {
    static thread_local Block block;
    return block;
  }

  void run(const Launch& launch, uint3 index);

  void collective(const Collective& kind, unsigned mask, void* operand, Where where);
  Tally barrier(const char* name, bool predicate, Where where);
  void yield();
  [[noreturn]] void fail(const std::string& what, const void* pc);

  const Launch& launch() const { return *launch_; }
  uint3 index() const { return index_; }
  unsigned threads() const { return count_; }
  const FiberPool& stacks() const { return pool_; }
  const SharedMemory& shared() const { return shared_; }

 private:
  Block() : pool_(&fiber_main), threads_(new Thread[kMaxThreads]) {}

  static void fiber_main();
  void arrange(const Launch& launch);
  void make_current(Thread& t);
  void begin(Thread& t);
  void finish(Thread& t);
  void suspend(Thread& t, Wait why, const char* name, unsigned mask, Where where);
  void leave(Fiber& from);
  void release_barrier(const Thread* last);
  [[noreturn]] void give_up();
  template <class Message>
  [[noreturn]] void fail_with(Message&& message) {
    current.quiet = true;  // the text must not be taken for the kernel's own accesses
    fail(message(), nullptr);
  }
  std::string deadlock() const;

  const Launch* launch_ = nullptr;
  uint3 index_{};
  dim3 arranged_{0, 0, 0};
  unsigned count_ = 0, next_ = 0, alive_ = 0;
  bool start_next_ = false;
  struct { unsigned waiting = 0; int count = 0; Where where; } barrier_;

  Fiber host_;
  Fiber* running_ = &host_;
  FiberPool pool_;
  ReadyList ready_;
  std::unique_ptr<Thread[]> threads_;
  std::array<Warp, kMaxThreads / kWarp> warps_;
  SharedMemory shared_;
  std::exception_ptr error_;
};

inline void Block::arrange(const Launch& launch) {
  const dim3 d = launch.block;
  count_ = d.x * d.y * d.z;
  if (d.x == arranged_.x && d.y == arranged_.y && d.z == arranged_.z) return;
  arranged_ = d;
  for (unsigned i = 0; i < count_; ++i) {
    Thread& t = threads_[i];
    t.id = i;
    t.index = {i % d.x, i / d.x % d.y, i / d.x / d.y};
    t.lane = i % kWarp;
    t.warp = &warps_[i / kWarp];
  }
}

inline void Block::run(const Launch& launch, uint3 index) {
  launch_ = &launch;
  index_ = index;
  arrange(launch);
  next_ = 0;
  start_next_ = false;
  alive_ = count_;
  barrier_.waiting = 0;
  ready_.clear();
  for (unsigned w = 0; w * kWarp < count_; ++w) {
    const unsigned lanes = count_ - w * kWarp;
    warps_[w].alive = lanes >= kWarp ? ~0u : (1u << lanes) - 1;
    warps_[w].pending = 0;
  }
  error_ = nullptr;
  shared_.begin_block(launch.shared_bytes);
  blockIdx = index;
  blockDim = launch.block;
  gridDim = launch.grid;
  current = {nullptr, this, shared_.data(), 0, 0, false};
  if (observer) observer->block_begins();

  running_ = pool_.take();
  host_.switch_to(*running_);

  const std::exception_ptr error = std::exchange(error_, nullptr);
  if (error) {
    pool_.reset();
    current = {};
    std::rethrow_exception(error);
  }
  current.thread = nullptr;
  if (observer) observer->block_ends();
  if (!shared_.intact()) fail(text("wrote behind its ", launch.shared_bytes, " bytes of dynamic shared memory"), nullptr);
  current = {};
}

// What every fiber does for ever: goes on with a thread that is ready, or else runs the next one that was not started.
inline void Block::fiber_main() {
  Block& b = *current.block;
  for (;;) {
    if (!b.start_next_ && (!b.ready_.empty() || b.next_ == b.count_)) {
      Fiber& self = *b.running_;
      b.pool_.give(&self);
      b.leave(self);  // comes back when the pool lends this fiber again
      continue;
    }
    b.start_next_ = false;
    Thread& t = b.threads_[b.next_++];
    t.fiber = b.running_;
    b.begin(t);
    try {
      b.launch_->entry(b.launch_->context);
    } catch (...) {
      b.error_ = std::current_exception();
    }
    if (b.error_) b.give_up();
    b.finish(t);
  }
}

inline void Block::make_current(Thread& t) {
  current.thread = &t;
  current.lane = t.lane;
  current.atomics = 0;
  threadIdx = t.index;
}

inline void Block::begin(Thread& t) {
  t.wait = Wait::none;
  t.copies.clear();
  t.first_copy = 0;
  t.groups = 0;
  make_current(t);
}

inline void Block::finish(Thread& t) {
  Warp& w = *t.warp;
  const unsigned bit = 1u << t.lane;
  for (int i = 0; i < w.pending; ++i) {
    const Warp::Slot& s = w.slots[i];
    if (s.mask & bit) fail_with([&] { return text("returned while ", lanes_text(s.arrived), " of its warp wait for it in ", s.kind->name, " with mask ", mask_text(s.mask), " at ", place_text(s.where)); });
  }
  w.alive &= ~bit;
  t.wait = Wait::done;
  --alive_;
  current.thread = nullptr;
  if (barrier_.waiting != 0 && barrier_.waiting == alive_) release_barrier(nullptr);
}

// Continues with the next thread that is ready; comes back when `from` is switched to.
inline void Block::leave(Fiber& from) {
  Fiber* to;
  if (!ready_.empty()) {
    Thread& t = *ready_.pop();
    t.wait = Wait::none;
    make_current(t);
    to = t.fiber;
  } else if (next_ < count_) {
    to = pool_.take();
  } else if (alive_ == 0) {
    to = &host_;
  } else {
    fail_with([this] { return deadlock(); });
  }
  if (to == &from) return;
  running_ = to;
  from.switch_to(*to);
}

inline void Block::suspend(Thread& t, Wait why, const char* name, unsigned mask, Where where) {
  t.wait = why;
  t.waits_in = name;
  t.mask = mask;
  t.where = where;
  leave(*t.fiber);
}

// The threads that were not started come before those that are ready: a thread that waits in a loop may wait for any of them.
inline void Block::yield() {
  Thread& t = *current.thread;
  current.atomics = 0;
  if (next_ < count_) {
    ready_.push_back(&t);
    start_next_ = true;
    running_ = pool_.take();
    t.fiber->switch_to(*running_);
  } else if (!ready_.empty()) {
    ready_.push_back(&t);
    leave(*t.fiber);
  }
}

inline void Block::give_up() {
  Fiber abandoned;
  running_ = &host_;
  abandoned.switch_to(host_);
  __builtin_unreachable();
}

inline void Block::fail(const std::string& what, const void* pc) {
  current.quiet = true;
  std::string message = text("simt: kernel ", function_name(launch_->kernel), ", block ", index_text(index_));
  if (current.thread) message += text(", thread ", index_text(current.thread->index));
  message += text(": ", what);
  if (pc) message += place_lines(pc);
  if (running_ == &host_) throw Fault(message);
  error_ = std::make_exception_ptr(Fault(message));
  give_up();
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
