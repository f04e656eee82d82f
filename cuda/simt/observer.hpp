// What a detector is told by the machinery, beside the memory accesses that instrumented kernels report themselves.
#pragma once

#include <cuda/simt/engine.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

enum class Access : std::uint8_t { read, write, atomic };

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void block_begins() = 0;
  virtual void block_ends() = 0;
  virtual void barrier_opens() = 0;                                 // every thread that waits is ordered with every other
  virtual void lanes_meet(Thread* lanes, unsigned mask) = 0;        // __syncwarp: these are
  virtual void access(Thread& t, const void* address, std::size_t bytes, Access kind, const void* pc) = 0;
  virtual void copy_issued(Thread& t, const Copy& copy) = 0;        // cp.async: `to` is undefined from here …
  virtual void copy_done(Thread& t, const Copy& copy) = 0;          // … to here, for the thread; for others until they meet
};

/// Null unless the program was built with detectors (detectors.hpp).
inline constinit Observer* observer = nullptr;

}  // namespace fg::inline FRAMEGRAD_ABI::simt
