// What the engine asks of a GPU's runtime: plain functions, so that core needs no CUDA header.
//
// Defined by framegrad::cuda (cuda/runtime.cu), and by framegrad::simt (cuda/simt/runtime.cpp), where a 'device' is a part of host memory
// and a stream runs at once. Builds without either never call them (kWithCuda). Every thread has one stream a device; ops
// are queued on it and don't wait. Reading a device's memory from the host (copy_to_host) waits.
#pragma once

#include <framegrad/core/device.hpp>
#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct MemoryUse {
  Index used_bytes = 0;    // in live tensors
  Index cached_bytes = 0;  // kept for reuse
  Index peak_bytes = 0;    // highest used_bytes since the last reset_peak
};

namespace cuda {

/// GPUs that can be used; 0 where there is none or no driver (`why_no_device` then says it in a sentence).
int device_count();
const char* why_no_device();
/// Name, memory in bytes and number of multiprocessors. Throws DeviceError if there is no such device.
struct DeviceFacts {
  char name[256];
  Index memory_bytes;
  int multiprocessors, major, minor;
};
DeviceFacts facts(int device);

/// The device that this thread works on. Throws DeviceError if there is no such device.
int current_device();
void set_device(int device);
/// This thread's stream on its device: a cudaStream_t.
void* current_stream();
/// Waits for this thread's stream.
void synchronize();
/// Throws DeviceError with `what` if a launch or a call failed; the error is a cudaError_t.
void check_call(int error, const char* what);

/// The op that this thread runs, and the one that it ran last: for messages.
struct RunningOp {
  std::string_view now, last;

  static RunningOp& instance() {
    static thread_local RunningOp op;
    return op;
  }
  /// "linear: ", "after linear: " or nothing.
  std::string str() const { return !now.empty() ? text(now, ": ") : !last.empty() ? text("after ", last, ": ") : std::string(); }
};

/// Uninitialised memory, aligned to 256, in the order of this thread's stream. Throws OutOfMemory.
void* allocate(Index bytes, int device);
void release(void* p, Index bytes, int device);
MemoryUse memory_use(int device);
void reset_peak(int device);
/// Live tensors may hold this many bytes at most; 0 lifts the limit.
void limit_memory(Index bytes, int device);
/// Gives cached memory back to the driver.
void trim(int device);

/// Host memory may be written again when it returns.
void copy_to_device(void* to, const void* host, Index bytes);
void copy_to_host(void* host, const void* from, Index bytes);
void copy_on_device(void* to, const void* from, Index bytes);
void fill_zero(void* p, Index bytes);

/// dst ← src, or dst + src, converted; strides in elements over the same sizes, row `rank` axes long (0 repeats an element).
void copy_strided(Dtype to, void* dst, const Index* dst_strides, Dtype from, const void* src, const Index* src_strides, const Index* sizes, int rank, bool add);

// Recording, of which core/recording.hpp makes classes.

/// Memory that comes again at the same addresses. Tensors that have some of it when it is closed keep that.
class MemoryPool;
MemoryPool* open_pool(int device);
void close_pool(MemoryPool* pool);
/// From here on this thread's memory on the pool's device comes from it, and what is taken is noted; null: from the driver again.
void take_from(MemoryPool* pool);

/// What was queued while recording.
class Graph;
bool is_recording();
/// From here on this thread's work is noted and not run. Its memory is what was noted of the pool, in the same order. Throws RecordingError.
void begin_recording(MemoryPool* pool);
Graph* end_recording();
void abandon_recording();
/// Queues all of it at once. Throws DeviceError on another thread than the one that recorded.
void replay(const Graph* graph);
void close_graph(Graph* graph);

/// Throws RecordingError if this thread is recording: `what` would not happen again.
inline void refuse_while_recording(std::string_view what) {
  if (is_recording()) [[unlikely]]
    throw RecordingError(text(RunningOp::instance().str(), what, " can't be recorded: do it outside, and make what it gives an input of the recorded function"));
}

/// The device that "cpu", "cuda" or "cuda:1" names, if this program can use it. Throws ConfigError or DeviceError, with the reason.
inline Device device_named(std::string_view name) {
  if (name == "cpu") return kCpu;
  int index = 0;
  const bool named = name.starts_with("cuda") && (name.size() == 4 || (name[4] == ':' && name.size() == 6 && name[5] >= '0' && name[5] <= '9'));
  check<ConfigError>(named, "device", "\"", name, "\"; there are cpu, cuda and cuda:<number>");
  if (name.size() == 6) index = name[5] - '0';
  check<DeviceError>(kWithCuda, "device", name, ": this build has no kernels for GPUs; configure with -DFRAMEGRAD_CUDA=ON where the CUDA Toolkit is");
  if constexpr (kWithCuda) {
    const int count = device_count();
    check<DeviceError>(count > 0, "device", name, ": ", why_no_device(), "; cpu works everywhere");
    check<DeviceError>(index < count, "device", name, ": there are ", count, " GPUs, counted from 0");
  }
  return cuda_device(index);
}

/// Makes a device this thread's for as long as it lives.
class DeviceScope {
 public:
  explicit DeviceScope(int device) : before_(current_device()) {
    if (device != before_) set_device(device);
  }
  ~DeviceScope() { set_device(before_); }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_;
};

}  // namespace cuda
}  // namespace fg::inline FRAMEGRAD_ABI
