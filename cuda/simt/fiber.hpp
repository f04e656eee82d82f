// Fibers: stacks that a host thread switches between in a few nanoseconds, for the CUDA threads of a block.
//
// On x86-64 a switch saves the six callee-saved registers on the stack and exchanges the stack pointer; elsewhere ucontext
// does it. Stacks are mapped once, each with a guard page below it, and used again.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <vector>

#include <framegrad/core/config.hpp>

#if defined(__x86_64__)
// void framegrad_simt_switch(void** save, void* load). The jump replaces a return: a return address that this processor's
// call stack does not expect costs a misprediction each time.
asm(R"(
  .pushsection .text.framegrad_simt_switch,"axG",@progbits,framegrad_simt_switch,comdat
  .weak framegrad_simt_switch
  .type framegrad_simt_switch,@function
framegrad_simt_switch:
  .cfi_startproc
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  pushq %r12
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r12, 0
  pushq %r13
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r13, 0
  pushq %r14
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r14, 0
  pushq %r15
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r15, 0
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  .cfi_def_cfa_offset 0
  .cfi_register %rip, %rcx
  jmpq *%rcx
  .cfi_endproc
  .size framegrad_simt_switch, .-framegrad_simt_switch
  .popsection
)");
extern "C" void framegrad_simt_switch(void** save, void* load);
#else
#include <ucontext.h>
#endif

namespace fg::inline FRAMEGRAD_ABI::simt {

/// One stack and what is needed to continue on it. The host thread's own stack is a Fiber without memory.
struct Fiber {
#if defined(__x86_64__)
  void* sp = nullptr;
#else
  ucontext_t context;
#endif
  char* low = nullptr;   // lowest usable byte
  char* high = nullptr;  // one past the highest

  /// The next switch to this fiber calls `entry`, which must never return.
  void prepare(void (*entry)(), std::size_t colour) {
#if defined(__x86_64__)
    // Stacks are whole pages apart, and the first-level cache sees only the place in the page: spread their tops.
    auto** top = reinterpret_cast<void**>(high - (colour % 31) * 128);
    *--top = nullptr;  // a backtrace ends here
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    sp = top;
#else
    (void)colour;
    getcontext(&context);
    context.uc_stack.ss_sp = low;
    context.uc_stack.ss_size = std::size_t(high - low);
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
#endif
  }

  void switch_to(Fiber& next) {
#if defined(__x86_64__)
    framegrad_simt_switch(&sp, next.sp);
#else
    swapcontext(&context, &next.context);
#endif
  }
};

/// Stacks of one host thread. Addresses of fibers stay valid.
class FiberPool {
 public:
  static constexpr std::size_t kStackBytes = 128 << 10;  // address space; a page becomes memory when first touched
  static constexpr std::size_t kGuardBytes = 4096;
  static constexpr int kBatch = 32;  // a warp's worth is mapped at once

  explicit FiberPool(void (*entry)()) : entry_(entry) {}
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;
  ~FiberPool() {
    for (std::size_t i = 0; i < all_.size(); i += kBatch) {
      ::munmap(all_[i]->low - kGuardBytes, kBatch * kStackBytes);
      delete[] all_[i];
    }
  }

  Fiber* take() {
    if (free_.empty()) grow();
    Fiber* f = free_.back();
    free_.pop_back();
    return f;
  }
  void give(Fiber* f) { free_.push_back(f); }

  /// After an aborted block: what the fibers were doing is forgotten.
  void reset() {
    free_.clear();
    for (std::size_t i = 0; i < all_.size(); ++i) {
      all_[i]->prepare(entry_, i);
      free_.push_back(all_[i]);
    }
  }

  bool owns(const void* address) const {
    for (std::size_t i = 0; i < all_.size(); i += kBatch) {
      const char* low = all_[i]->low - kGuardBytes;
      if (address >= low && address < low + kBatch * kStackBytes) return true;
    }
    return false;
  }

 private:
  void grow() {
    void* memory = ::mmap(nullptr, kBatch * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    auto* fibers = new Fiber[kBatch];
    for (int i = kBatch - 1; i >= 0; --i) {
      char* low = static_cast<char*>(memory) + std::size_t(i) * kStackBytes;
      ::mprotect(low, kGuardBytes, PROT_NONE);
      fibers[i].low = low + kGuardBytes;
      fibers[i].high = low + kStackBytes;
      fibers[i].prepare(entry_, all_.size() + std::size_t(i));
      free_.push_back(&fibers[i]);
    }
    for (int i = 0; i < kBatch; ++i) all_.push_back(&fibers[i]);
  }

  void (*entry_)();
  std::vector<Fiber*> all_, free_;
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
