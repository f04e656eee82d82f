// The GPU's runtime: devices, streams, memory, graphs (core/backend.hpp). Memory comes from the driver's stream-ordered pool, which keeps what is freed,
// so that neither an allocation nor a release waits for the device. While a graph is recorded nothing is allocated or freed: cuda/memory_pool.hpp.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <framegrad/core/backend.hpp>

#include "cuda/device_memory.hpp"
#include "cuda/staging.hpp"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

constexpr int kMostDevices = 64;

cudaStream_t stream_of(int device);

class DriverMemory final : public DeviceMemory {
  void* fresh(Index bytes, int device) override {
    const DeviceScope scope(device);
    prepare(device);
    void* p = nullptr;
    const cudaError_t error = cudaMallocAsync(&p, std::size_t(bytes ? bytes : 1), stream_of(device));
    if (error != cudaErrorMemoryAllocation) return check_call(error, "allocating memory"), p;
    cudaGetLastError();
    return nullptr;
  }
  void drop(void* p, Index, int device) override {
    int now = 0;
    if (cudaGetDevice(&now) == cudaErrorCudartUnloading) return;  // the program ends, and the driver went first: the memory with it
    const DeviceScope scope(device);
    cudaFreeAsync(p, stream_of(device));  // no check: a destructor calls this, and an earlier error has been thrown where it arose
  }
  std::string left(int device) const override {
    const DeviceScope scope(device);
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    return text(", ", Index(free), " of ", Index(total), " free");
  }
  /// The driver's pool keeps all memory it was given, until trim.
  void prepare(int device) {
    if (ready_) return;
    cudaMemPool_t pool;
    check_call(cudaDeviceGetDefaultMemPool(&pool, device), "the memory pool");
    std::uint64_t threshold = ~std::uint64_t(0);
    check_call(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold), "the memory pool");
    ready_ = true;
  }
  bool ready_ = false;
};

struct Devices {
  int count = 0;
  std::string why;
  std::deque<DriverMemory> memory;

  Devices() {
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
      count = 0;
      why = text("no GPU can be used: ", cudaGetErrorString(error));
      int driver = 0, runtime = 0;
      if (cudaDriverGetVersion(&driver) == cudaSuccess && cudaRuntimeGetVersion(&runtime) == cudaSuccess && driver < runtime)
        why += driver == 0 ? "; no driver is installed" : text("; the driver is for CUDA ", driver / 1000, ".", driver % 1000 / 10, ", this program needs ", runtime / 1000, ".", runtime % 1000 / 10);
      cudaGetLastError();  // the CPU goes on being usable: nothing later should trip over it
    } else if (count == 0) {
      why = "this machine has no GPU";
    }
    count = std::min(count, kMostDevices);
    memory.resize(std::size_t(count));
  }
};
/// Never destroyed: a tensor that a program holds to its very end is released after everything else.
Devices& devices() {
  static Devices& d = *new Devices;
  return d;
}

DriverMemory& memory_of(int device) {
  Devices& d = devices();
  check<DeviceError>(device >= 0 && device < d.count, "cuda", "device ", device, " of ", d.count, d.count ? "" : text(": ", d.why));
  return d.memory[std::size_t(device)];
}

// This thread's streams, made when first needed; they end with the process.
cudaStream_t stream_of(int device) {
  thread_local cudaStream_t streams[kMostDevices] = {};  // plain: a thread's last releases may come after its objects have gone
  cudaStream_t& s = streams[device];
  if (!s) check_call(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "making a stream");
  return s;
}

/// The copies of one thread with one device.
struct DriverCopies {
  using Event = cudaEvent_t;
  cudaStream_t stream;

  void* pin(Index bytes) {
    void* p = nullptr;
    check_call(cudaHostAlloc(&p, std::size_t(bytes), cudaHostAllocDefault), "pinning host memory");
    return p;
  }
  void unpin(void* p, Event e) {  // no checks: when a thread ends, the driver may have gone before
    cudaEventSynchronize(e);
    cudaEventDestroy(e);
    cudaFreeHost(p);
  }
  Event make_event() {
    Event e;
    check_call(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "making an event");
    return e;
  }
  void mark(Event e) { check_call(cudaEventRecord(e, stream), "recording an event"); }
  void wait(Event e) { check_call(cudaEventSynchronize(e), "waiting for a copy"); }
  void up(void* to, const void* pinned, Index bytes) { check_call(cudaMemcpyAsync(to, pinned, std::size_t(bytes), cudaMemcpyHostToDevice, stream), "copying to the device"); }
  void down(void* pinned, const void* from, Index bytes) { check_call(cudaMemcpyAsync(pinned, from, std::size_t(bytes), cudaMemcpyDeviceToHost, stream), "copying to the host"); }
};
Staging<DriverCopies>& staging() {
  thread_local std::vector<std::unique_ptr<Staging<DriverCopies>>> all;
  const int device = current_device();
  if (all.size() <= std::size_t(device)) all.resize(std::size_t(device) + 1);
  auto& s = all[std::size_t(device)];
  if (!s) s = std::make_unique<Staging<DriverCopies>>(DriverCopies{stream_of(device)});
  return *s;
}

}  // namespace

int device_count() { return devices().count; }
const char* why_no_device() { return devices().why.c_str(); }

DeviceFacts facts(int device) {
  memory_of(device);
  cudaDeviceProp p;
  check_call(cudaGetDeviceProperties(&p, device), "reading a device's properties");
  DeviceFacts f{};
  for (int i = 0; i < 255 && p.name[i]; ++i) f.name[i] = p.name[i];
  f.memory_bytes = Index(p.totalGlobalMem), f.multiprocessors = p.multiProcessorCount, f.major = p.major, f.minor = p.minor;
  return f;
}

int current_device() {
  if (device_count() == 0) return 0;
  int device = 0;
  check_call(cudaGetDevice(&device), "the current device");
  return device;
}
void set_device(int device) {
  if (device == current_device()) return;  // also DeviceScope's way back on a machine without a GPU
  refuse_while_recording("work on another device");
  memory_of(device);
  check_call(cudaSetDevice(device), "choosing a device");
}
void* current_stream() { return stream_of(current_device()); }
void synchronize() {
  refuse_while_recording("waiting for the device");
  check_call(cudaStreamSynchronize(stream_of(current_device())), "waiting for the stream");
}
void check_call(int error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  const std::string message = text("cuda: ", RunningOp::instance(), what, ": ", cudaGetErrorString(cudaError_t(error)));
  if (is_recording()) throw RecordingError(message);
  throw DeviceError(message);
}

void* allocate(Index bytes, int device) { return memory_of(device).allocate(bytes, device); }
void release(void* p, Index bytes, int device) { memory_of(device).release(p, bytes, device); }
MemoryUse memory_use(int device) {
  MemoryUse use = memory_of(device).use();
  cudaMemPool_t pool;
  std::uint64_t held = 0;
  if (cudaDeviceGetDefaultMemPool(&pool, device) == cudaSuccess && cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &held) == cudaSuccess)
    use.cached_bytes = std::max<Index>(0, Index(held) - use.used_bytes);
  return use;
}
void reset_peak(int device) { memory_of(device).reset_peak(); }
void limit_memory(Index bytes, int device) { memory_of(device).limit(bytes); }
void trim(int device) {
  memory_of(device);
  const DeviceScope scope(device);
  synchronize();
  cudaMemPool_t pool;
  check_call(cudaDeviceGetDefaultMemPool(&pool, device), "the memory pool");
  check_call(cudaMemPoolTrimTo(pool, 0), "trimming the memory pool");
}

void copy_to_device(void* to, const void* host, Index bytes) {
  refuse_while_recording("a copy from the host");
  staging().up(to, host, bytes);
}
void copy_to_host(void* host, const void* from, Index bytes) {
  refuse_while_recording("a copy to the host");
  staging().down(host, from, bytes);
}
void copy_on_device(void* to, const void* from, Index bytes) {
  check_call(cudaMemcpyAsync(to, from, std::size_t(bytes), cudaMemcpyDeviceToDevice, stream_of(current_device())), "copying on the device");
}
void fill_zero(void* p, Index bytes) { check_call(cudaMemsetAsync(p, 0, std::size_t(bytes), stream_of(current_device())), "clearing memory"); }

class Graph {
 public:
  cudaStream_t stream;
  cudaGraphExec_t exec = nullptr;
  std::vector<Released> kept;
};

MemoryPool* open_pool(int device) { return memory_of(device).open_pool(device); }
void close_pool(MemoryPool* pool) { memory_of(pool->device()).close_pool(pool); }
void take_from(MemoryPool* pool) {
  if (pool) pool->plan();
  Recorder::of_this_thread().pool = pool;
}

bool is_recording() { return Recorder::of_this_thread().on; }
void begin_recording(MemoryPool* pool) {
  Recorder::of_this_thread().begin(pool);
  const cudaError_t error = cudaStreamBeginCapture(stream_of(pool->device()), cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) return;
  cudaGetLastError();
  Recorder::of_this_thread().end();
  throw RecordingError(text("cuda: beginning to record: ", cudaGetErrorString(error)));
}
Graph* end_recording() {
  const cudaStream_t stream = stream_of(current_device());
  cudaGraph_t recorded = nullptr;
  cudaError_t error = cudaStreamEndCapture(stream, &recorded);
  auto* const graph = new Graph{stream, nullptr, Recorder::of_this_thread().end()};
  if (error == cudaSuccess) error = cudaGraphInstantiate(&graph->exec, recorded, 0);
  if (recorded) cudaGraphDestroy(recorded);
  if (error == cudaSuccess) error = cudaGraphUpload(graph->exec, stream);  // what it lacks shows here, and not at the first replay
  if (error == cudaSuccess) return graph;
  cudaGetLastError();
  close_graph(graph);
  throw RecordingError(text("cuda: ", RunningOp::instance(), "the recording is broken: ", cudaGetErrorString(error)));
}
void abandon_recording() {
  cudaGraph_t recorded = nullptr;
  cudaStreamEndCapture(stream_of(current_device()), &recorded);
  if (recorded) cudaGraphDestroy(recorded);
  cudaGetLastError();  // what broke the recording has been thrown
  for (const Released& r : Recorder::of_this_thread().end()) release(r.p, r.bytes, r.device);
}
void replay(const Graph* graph) {
  refuse_while_recording("a graph's replay");
  const cudaStream_t stream = stream_of(current_device());
  check<DeviceError>(graph->stream == stream, "replay", "the graph was recorded on another thread, or another device");
  check_call(cudaGraphLaunch(graph->exec, stream), "launching a graph");
}
void close_graph(Graph* graph) {
  cudaStreamSynchronize(graph->stream);  // it may be running
  if (graph->exec) cudaGraphExecDestroy(graph->exec);
  for (const Released& r : graph->kept) release(r.p, r.bytes, r.device);
  delete graph;
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
