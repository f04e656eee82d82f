// What a kernel's translation unit knows of the machinery that runs it. The definitions are in block.hpp and run.hpp.
//
// A grid's blocks are spread over host threads; the threads of a block are fibers of one host thread. A fiber runs until
// it has to wait for others: then the next one continues. So threads of a block interleave only at barriers, shuffles and
// the like, always in the same order, and a kernel that is deterministic on a GPU is so here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include <cuda/simt/fiber.hpp>
#include <cuda/simt/vector_types.hpp>
#include <framegrad/core/error.hpp>

inline thread_local constinit uint3 threadIdx{0, 0, 0};
inline thread_local constinit uint3 blockIdx{0, 0, 0};
inline thread_local constinit dim3 blockDim{1, 1, 1};
inline thread_local constinit dim3 gridDim{1, 1, 1};
inline constexpr int warpSize = 32;

namespace fg::inline FRAMEGRAD_ABI::simt {

/// What a kernel did wrong, with the kernel's name, block, thread and source line; or a launch that no GPU would accept.
struct Fault : Error { using Error::Error; };

inline constexpr int kWarp = 32;
inline constexpr int kMaxThreads = 1024;                    // a block's
inline constexpr std::size_t kMaxShared = 227 << 10;        // dynamic, with the opt-in: sm_90 (sm_80 has 163 KiB)
inline constexpr std::size_t kMaxStaticShared = 48 << 10;

/// A line of a kernel's source. (std::source_location needs Clang 16.)
struct Where {
  const char* file = "";
  unsigned line = 0;
  static constexpr Where here(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) { return {file, line}; }
};

struct Launch {
  const void* kernel;            // its address: the name is looked up when something is reported
  void (*entry)(void* context);  // runs one thread
  void* context;                 // the arguments
  std::size_t context_bytes;
  dim3 grid, block;
  std::size_t shared_bytes;
};

/// What a set of lanes does together: when the last of the mask's lanes has come, it runs `complete` for all.
struct Collective {
  const char* name;
  void (*complete)(struct Thread* lanes, unsigned mask);  // lanes[i].operand belongs to lane i, for i in mask
};

struct Copy {  // one cp.async
  void* to;
  const void* from;
  int bytes, from_bytes;
  int group;
  const void* pc;
};

enum class Wait : std::uint8_t { none, barrier, collective, done };

struct Thread {
  Fiber* fiber = nullptr;
  struct Warp* warp = nullptr;
  uint3 index{0, 0, 0};
  unsigned id = 0, lane = 0;       // id: x + y·X + z·X·Y
  void* operand = nullptr;         // of the collective it waits in
  int result = 0, participants = 0;  // of the last barrier
  Wait wait = Wait::none;
  unsigned mask = 0;
  const char* waits_in = nullptr;
  Where where;
  std::vector<Copy> copies;        // cp.async, oldest first
  std::size_t first_copy = 0;      // those before it are done
  int groups = 0;                  // committed
};

/// Which thread the host thread is running: null outside kernels.
struct Current {
  Thread* thread = nullptr;
  class Block* block = nullptr;
  unsigned char* shared = nullptr;  // dynamic
  unsigned lane = 0;
  int atomics = 0;                  // since the last switch
  bool quiet = false;               // the machinery itself is at work on behalf of a thread
};
inline thread_local constinit Current current;

/// Runs all blocks. Throws Fault, or whatever a thread threw first.
void run(const Launch& launch);

/// Waits for all lanes of `mask`; `kind.complete` has run when it returns.
void collective(const Collective& kind, unsigned mask, void* operand, Where where);

struct Tally { int count, participants; };
/// Waits for all threads of the block that have not returned. → how many came with a true predicate, and how many came.
Tally barrier(const char* name, bool predicate, Where where);

/// Lanes of the calling thread's warp that have not returned.
unsigned alive_lanes();

/// Lets the block's other threads run.
void yield();

// The machine's side of ptx.cuh.
void copy_issue(void* to, const void* from, int bytes, int from_bytes);
void copy_commit();
void copy_wait(int pending);  // until at most so many of the committed groups are pending; -1: all, committed or not
void ldmatrix(int matrices, bool transposed, const void* row, unsigned* r, Where where);
void mma_sync(int kind, float* d, const unsigned* a, const unsigned* b, const float* c, Where where);  // 0 bf16, 1 half, 2 tf32
uint4 load16(const void* p);
void store16(void* p, uint4 v);
void load_wide(void* to, const void* from, int bytes);  // to: the thread's own
void store_wide(void* to, const void* from, int bytes);

/// Ends the launch with a Fault about the running thread: kernel, block and thread are put before `what`.
[[noreturn]] void fail(const std::string& what, const void* pc = nullptr);

/// Every atomic operation calls this: a thread that waits for another one in a loop must let it run.
inline void count_atomic() {
  if (++current.atomics > 256) yield();
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
