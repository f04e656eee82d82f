// The runtime of core/backend.hpp where the kernels run on the CPU: a device is a part of host memory, a stream runs at once.
//
// Memory is filled with ones (NaN in every floating type) when it is given and when it goes back, so that what a kernel forgot to write is seen, and what
// is read too late; a pool's each time that a graph runs. FRAMEGRAD_SIMT_DEVICES sets the number of devices (1); 0 shows what a program does without any.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>

#include <cuda/simt/memory.hpp>
#include <cuda/simt/record.hpp>
#include <framegrad/core/backend.hpp>

#include "cuda/device_memory.hpp"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

class HostMemory final : public DeviceMemory {
  void* fresh(Index bytes, int) override {
    return std::aligned_alloc(256, std::size_t(bytes + 256) / 256 * 256);
  }
  void drop(void* p, Index bytes, int) override {
    simt::memory().remove(p);
    std::memset(p, 0xff, std::size_t(bytes));
    std::free(p);
  }
};

struct Devices {
  int count = 1;
  std::deque<HostMemory> memory;
  Devices() {
    if (const char* s = std::getenv("FRAMEGRAD_SIMT_DEVICES")) count = std::atoi(s);
    memory.resize(std::size_t(count));
  }
};
/// Never destroyed: a tensor that a program holds to its very end is released after everything else.
Devices& devices() {
  static Devices& d = *new Devices;
  return d;
}
DeviceMemory& memory_of(int device) {
  Devices& d = devices();
  check<DeviceError>(device >= 0 && device < d.count, "cuda", "device ", device, " of ", d.count, " that run on the CPU");
  return d.memory[std::size_t(device)];
}
int& current() {
  thread_local int device = 0;
  return device;
}

}  // namespace

int device_count() { return devices().count; }
const char* why_no_device() { return "FRAMEGRAD_SIMT_DEVICES is 0"; }
DeviceFacts facts(int device) {
  memory_of(device);
  DeviceFacts f{};
  std::strcpy(f.name, "the CPU, thread by thread (simt)");
  f.multiprocessors = 1, f.major = 8;
  return f;
}
int current_device() { return current(); }
void set_device(int device) {
  if (device == current()) return;
  refuse_while_recording("work on another device");
  if (device != 0) memory_of(device);
  current() = device;
}
void* current_stream() { return nullptr; }
void synchronize() { refuse_while_recording("waiting for the device"); }
void check_call(int error, const char* what) { check<DeviceError>(error == 0, "cuda", RunningOp::instance(), what, ": error ", error); }

void* allocate(Index bytes, int device) {
  void* p = memory_of(device).allocate(bytes, device);
  simt::queue([=] {
    simt::memory().add(p, std::size_t(bytes));
    std::memset(p, 0xff, std::size_t(bytes));
  });
  return p;
}
void release(void* p, Index bytes, int device) {
  if (!memory_of(device).release(p, bytes, device)) return;
  simt::queue([=] {
    simt::memory().remove(p);
    std::memset(p, 0xff, std::size_t(bytes));
  });
}
MemoryUse memory_use(int device) { return memory_of(device).use(); }
void reset_peak(int device) { memory_of(device).reset_peak(); }
void limit_memory(Index bytes, int device) { memory_of(device).limit(bytes); }
void trim(int device) { memory_of(device); }

void copy_to_device(void* to, const void* host, Index bytes) {
  refuse_while_recording("a copy from the host");
  std::memcpy(to, host, std::size_t(bytes));
}
void copy_to_host(void* host, const void* from, Index bytes) {
  refuse_while_recording("a copy to the host");
  std::memcpy(host, from, std::size_t(bytes));
}
void copy_on_device(void* to, const void* from, Index bytes) {
  simt::queue([=] { std::memmove(to, from, std::size_t(bytes)); });
}
void fill_zero(void* p, Index bytes) {
  simt::queue([=] { std::memset(p, 0, std::size_t(bytes)); });
}

class Graph {
 public:
  simt::Recording work;
  std::vector<Released> kept;
  std::thread::id thread = std::this_thread::get_id();
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
  simt::recording() = new simt::Recording;
}
Graph* end_recording() {
  const std::unique_ptr<simt::Recording> work(std::exchange(simt::recording(), nullptr));
  return new Graph{std::move(*work), Recorder::of_this_thread().end()};
}
void abandon_recording() { close_graph(end_recording()); }
void replay(const Graph* graph) {
  refuse_while_recording("a graph's replay");
  check<DeviceError>(graph->thread == std::this_thread::get_id(), "replay", "the graph was recorded on another thread");
  for (const auto& work : graph->work) work();
}
void close_graph(Graph* graph) {
  for (const Released& r : graph->kept) release(r.p, r.bytes, r.device);
  delete graph;
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
