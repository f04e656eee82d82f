// Judges every memory access of a kernel's threads. One for each host thread that runs blocks.
//
//   own stack, parameters, variables of the program    fine
//   shared memory, dynamic and static                   bounds, never written, races, cp.async not waited for, bank conflicts
//   registered global memory                            bounds, sectors
//   anything else                                       not the kernel's
// Any access has to be aligned to its size.
#pragma once

#include <cuda/simt/banks.hpp>
#include <cuda/simt/block.hpp>
#include <cuda/simt/memory.hpp>
#include <cuda/simt/modules.hpp>
#include <cuda/simt/sectors.hpp>
#include <cuda/simt/shadow.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

class Detector {
 public:
  static Detector& of_this_host_thread() {
    static thread_local Detector d;
    return d;
  }

  void block_begins() {
    const void* kernel = current.block->launch().kernel;
    if (kernel != kernel_) {
      kernel_ = kernel;
      modules_ = Modules::around(kernel);
    }
    order_.block_begins();
    dynamic_.block_begins();
    static_.block_begins();
    banks_.forget();
    sectors_.forget();
    depth_.fill(0);
    unwritten_.clear();
  }
  void block_meets() {
    if (!unwritten_.empty()) {
      current.thread = unwritten_by_;
      fail(unwritten_, nullptr);
    }
    order_.barrier_opens();
    banks_.count();
    sectors_.count();
  }
  void lanes_meet(Thread* lanes, unsigned mask) { order_.lanes_meet(lanes->id / kWarp, mask); }

  void enter(const Thread& t, const void* call_site) {
    std::uint8_t& depth = depth_[t.id];
    if (depth < kDepth) calls_[t.id][depth] = call_site;
    if (depth < 255) ++depth;
  }
  void leave(const Thread& t) {
    if (depth_[t.id] > 0) --depth_[t.id];
  }

  void access(const Thread& t, std::uintptr_t p, std::size_t bytes, Access kind, const void* pc) {
    if (bytes == 0 || local(t, p, bytes)) return;
    if (current.block->shared().near(reinterpret_cast<const void*>(p))) return shared(t, p, bytes, kind, pc, true);
    if (modules_.statics.holds(p, bytes)) {
      if (!builtin(p)) shared(t, p, bytes, kind, pc, false);
      return;
    }
    if (!global(p, bytes)) foreign(p, bytes, kind, pc);
    if (sector_totals().counting && kind != Access::atomic && bytes <= 16) sectors_.access(t, p, unsigned(bytes), pc);
    if (touched_sectors().counting) touched_sectors().add(p, bytes, kind != Access::read);
  }

  /// An access of an instruction that needs its address aligned to `bytes`.
  void aligned(std::uintptr_t p, std::size_t bytes, Access kind, const void* pc) const {
    if (p % bytes) report(text("misaligned: ", verb(kind), bytes, " bytes at an address ", p % bytes, " beyond a multiple of ", bytes), pc);
  }
  /// A reference or pointer to a type that needs another alignment was used.
  [[noreturn]] void misaligned(std::uintptr_t p, std::size_t alignment, const void* pc) const {
    report(text("misaligned: an address ", p % alignment, " beyond a multiple of ", alignment, ", which the type needs"), pc);
  }

  void copy_issued(const Thread& t, const Copy& c) {
    const auto to = reinterpret_cast<std::uintptr_t>(c.to);
    const auto place = place_of(to);
    if (!place.shadow) report("cp.async: the destination is not in shared memory", c.pc);
    bounds(to, std::size_t(c.bytes), Access::write, c.pc, place.dynamic);
    judge(place.shadow->pending(order_, t, place.offset, std::size_t(c.bytes), c.pc), to, std::size_t(c.bytes), Access::write, c.pc);
    if (bank_totals().counting) banks_.access(t, to, unsigned(c.bytes), c.pc);
  }
  void copy_done(const Thread& t, const Copy& c) {
    const auto place = place_of(reinterpret_cast<std::uintptr_t>(c.to));
    place.shadow->arrived(order_, t, place.offset, std::size_t(c.bytes), c.pc);
    if (c.from_bytes) access(t, reinterpret_cast<std::uintptr_t>(c.from), std::size_t(c.from_bytes), Access::read, c.pc);
  }

 private:
  static constexpr int kDepth = 24;
  static constexpr std::uintptr_t kNear = 1 << 16;  // a wrong index is taken to land so close to its allocation
  static constexpr std::size_t kStaticBytes = 1 << 20;  // thread-local storage that is looked at

  struct Place {
    Shadow* shadow;
    std::size_t offset;
    bool dynamic;
  };

  Place place_of(std::uintptr_t p) {
    const SharedMemory& s = current.block->shared();
    if (s.near(reinterpret_cast<const void*>(p))) return {&dynamic_, p - reinterpret_cast<std::uintptr_t>(s.data()), true};
    if (modules_.statics.holds(p, 1)) return {&static_, p - modules_.statics.begin, false};
    return {nullptr, 0, false};
  }

  static bool local(const Thread& t, std::uintptr_t p, std::size_t bytes) {
    const auto low = reinterpret_cast<std::uintptr_t>(t.fiber->low), high = reinterpret_cast<std::uintptr_t>(t.fiber->high);
    if (p >= low && p + bytes <= high) return true;
    const Launch& l = current.block->launch();
    const auto args = reinterpret_cast<std::uintptr_t>(l.context);
    return p >= args && p + bytes <= args + l.context_bytes;
  }
  static bool builtin(std::uintptr_t p) {
    const auto is = [p](const auto& v) { return p - reinterpret_cast<std::uintptr_t>(&v) < sizeof v; };
    return is(threadIdx) || is(blockIdx) || is(blockDim) || is(gridDim) || is(current);
  }

  bool global(std::uintptr_t p, std::size_t bytes) {
    if (version_ == memory().version() && last_.holds(p, bytes)) return true;
    version_ = memory().version();
    if (const auto span = memory().before(p); span && span->holds(p, bytes)) {
      last_ = *span;
      return true;
    }
    last_ = {0, 0};
    return modules_.is_variable(p, bytes);
  }

  void bounds(std::uintptr_t p, std::size_t bytes, Access kind, const void* pc, bool dynamic) const {
    const SharedMemory& s = current.block->shared();
    if (!dynamic) return;
    const std::size_t offset = p - reinterpret_cast<std::uintptr_t>(s.data());
    if (offset + bytes > s.bytes()) report(text("out of bounds: ", verb(kind), bytes, " bytes at offset ", offset, " of dynamic shared memory, which has ", s.bytes()), pc);
  }

  void shared(const Thread& t, std::uintptr_t p, std::size_t bytes, Access kind, const void* pc, bool dynamic) {
    bounds(p, bytes, kind, pc, dynamic);
    const Place place = place_of(p);
    judge(place.shadow->access(order_, t, place.offset, bytes, kind, pc), p, bytes, kind, pc);
    if (static_.written() > kMaxStaticShared) report(text("more than ", kMaxStaticShared, " bytes of static shared memory: take dynamic"), pc);
    if (bank_totals().counting && kind != Access::atomic && bytes <= 16) banks_.access(t, p, unsigned(bytes), pc);
  }

  void judge(const Finding& f, std::uintptr_t p, std::size_t bytes, Access kind, const void* pc) {
    if (f.kind == Finding::none) return;
    const std::string what = text(verb(kind), bytes, " bytes of ", name_of_shared(p));
    const auto other = [&] { return text("thread ", index_text(at(f.other.stamp.thread))); };
    if (f.kind == Finding::unwritten) {
      // If another thread writes it before the block meets, that is a race, and says more: wait for it.
      if (!unwritten_.empty()) return;
      unwritten_ = text("uninitialised: ", what, ", which no thread of the block had written", call_lines(pc));
      unwritten_by_ = current.thread;
      return;
    }
    if (f.kind == Finding::before_wait) report(text("too early: ", what, " before the cp.async to it was waited for", call_lines(pc), "\n  issued by ", other(), place_lines(f.other.pc)), nullptr);
    report(text("race: ", what, call_lines(pc), "\n  ", f.other_writes ? "written" : "read", " by ", other(), " with no barrier between", place_lines(f.other.pc)), nullptr);
  }

  [[noreturn]] void foreign(std::uintptr_t p, std::size_t bytes, Access kind, const void* pc) const {
    std::string where = "in no live allocation";
    if (current.block->stacks().owns(reinterpret_cast<const void*>(p))) {
      where = "in another thread's local memory";
    } else {
      const auto before = memory().before(p), after = memory().after(p);
      if (before && p < before->end) {
        where = text("across the end of an allocation of ", before->end - before->begin, " bytes");
      } else if (before && p - before->end < kNear && (!after || p - before->end <= after->begin - p)) {
        where = text(p - before->end, " bytes behind the end of an allocation of ", before->end - before->begin, " bytes");
      } else if (after && after->begin - p < kNear) {
        where = text(after->begin - p, " bytes before an allocation of ", after->end - after->begin, " bytes");
      }
    }
    report(text("out of bounds: ", verb(kind), bytes, " bytes ", where), pc);
  }

  std::string name_of_shared(std::uintptr_t p) const {
    const SharedMemory& s = current.block->shared();
    if (s.near(reinterpret_cast<const void*>(p))) return text("dynamic shared memory + ", p - reinterpret_cast<std::uintptr_t>(s.data()));
    return static_shared_name(kernel_, p - modules_.statics.begin);
  }
  static uint3 at(unsigned thread) {
    const dim3 d = current.block->launch().block;
    return {thread % d.x, thread / d.x % d.y, thread / d.x / d.y};
  }
  static const char* verb(Access kind) { return kind == Access::read ? "reads " : kind == Access::write ? "writes " : "changes atomically "; }

  std::string call_lines(const void* pc) const {
    std::vector<const void*> pcs{pc};
    const unsigned thread = current.thread->id;
    for (int i = depth_[thread] < kDepth ? depth_[thread] : kDepth; i-- > 0;) pcs.push_back(calls_[thread][i]);
    return place_lines(pcs);
  }
  [[noreturn]] void report(const std::string& what, const void* pc) const {
    current.quiet = true;
    fail(pc ? what + call_lines(pc) : what, nullptr);
  }

  std::string unwritten_;  // the report of a read before any write, until the block meets
  Thread* unwritten_by_ = nullptr;
  const void* kernel_ = nullptr;
  Modules modules_;
  HappensBefore order_;
  Shadow dynamic_{kMaxShared}, static_{kStaticBytes};
  Banks banks_;
  Sectors sectors_;
  std::uint64_t version_ = 0;
  Memory::Span last_{0, 0};
  std::array<std::uint8_t, kMaxThreads> depth_{};
  std::array<std::array<const void*, kDepth>, kMaxThreads> calls_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
