// What was launched while an op ran on the CPU: kernels, their blocks, the conflicts of their shared memory, and their traffic with global memory.
// For a program whose kernels are instrumented (framegrad_simt_checked).
#pragma once

#include <cuda/simt/banks.hpp>
#include <cuda/simt/cuda.hpp>
#include <cuda/simt/sectors.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace predicted {

namespace simt = fg::simt;

struct Kernel {
  std::string name;
  unsigned threads;
  std::size_t shared;  // dynamic
  simt::BankCount banks;
  double moved = 0, asked = 0;  // bytes of global memory, by sectors: each read and written once a launch, as with caches that lose nothing; and without any
};

/// Stands before the detectors, and passes everything on to them. With one host thread alone: kernels are told apart by when they run.
class Launches final : public simt::Observer {
 public:
  Launches() : next_(simt::observer) {
    simt::observer = this;
    simt::bank_totals().counting = simt::sector_totals().counting = simt::touched_sectors().counting = true;
  }
  ~Launches() override { simt::observer = next_; }

  /// The kernels that `run` launches, each once, in their order.
  template <class F>
  std::vector<Kernel> of(F&& run) {
    begin(nullptr);
    kernels_.clear();
    run();
    begin(nullptr);
    return std::move(kernels_);
  }

  void block_begins() override {
    const auto& launch = simt::current.block->launch();
    if (blockIdx.x + blockIdx.y + blockIdx.z == 0) {
      begin(launch.kernel);
      threads_ = launch.block.x * launch.block.y * launch.block.z, shared_ = launch.shared_bytes;
    }
    next_->block_begins();
  }
  void block_ends() override { next_->block_ends(); }
  void barrier_opens() override { next_->barrier_opens(); }
  void lanes_meet(simt::Thread* lanes, unsigned mask) override { next_->lanes_meet(lanes, mask); }
  void access(simt::Thread& t, const void* p, std::size_t bytes, simt::Access kind, const void* pc) override { next_->access(t, p, bytes, kind, pc); }
  void copy_issued(simt::Thread& t, const simt::Copy& c) override { next_->copy_issued(t, c); }
  void copy_done(simt::Thread& t, const simt::Copy& c) override { next_->copy_done(t, c); }

 private:
  /// Notes what was counted for the kernel until now.
  void begin(const void* kernel) {
    if (now_) {
      const std::string name = plain(simt::function_name(now_));
      auto at = std::find_if(kernels_.begin(), kernels_.end(), [&](const Kernel& k) { return k.name == name; });
      if (at == kernels_.end()) at = kernels_.insert(at, {name, threads_, shared_, {}, 0, 0});
      at->banks += simt::bank_totals().sum();
      at->asked += simt::kSectorBytes * double(simt::sector_totals().sum().sectors), at->moved += simt::kSectorBytes * double(simt::touched_sectors().count());
    }
    simt::bank_totals().reset(), simt::sector_totals().reset(), simt::touched_sectors().reset();
    now_ = kernel;
  }
  /// As tests/cuda/resources.txt has it.
  static std::string plain(std::string name) {
    for (const char* part : {"fg::v0_simt::", "(anonymous namespace)::", "void "})
      for (std::size_t at; (at = name.find(part)) != std::string::npos;) name.erase(at, std::string_view(part).size());
    return name;
  }

  simt::Observer* next_;
  const void* now_ = nullptr;
  unsigned threads_ = 0;
  std::size_t shared_ = 0;
  std::vector<Kernel> kernels_;
};

}  // namespace predicted
