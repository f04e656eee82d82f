// The runtime of core/backend.hpp where the kernels run on the CPU: a device is a part of host memory, a stream runs at once.
//
// Fresh memory is filled with ones (NaN in every floating type), so that what a kernel forgot to write is seen. FRAMEGRAD_SIMT_DEVICES sets the
// number of devices (1); 0 shows what a program does without any.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>

#include <cuda/simt/memory.hpp>
#include <framegrad/core/backend.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

struct PerDevice {
  std::mutex mutex;
  MemoryUse use;
  Index limit = 0;
};

struct Devices {
  int count = 1;
  std::deque<PerDevice> list;
  Devices() {
    if (const char* s = std::getenv("FRAMEGRAD_SIMT_DEVICES")) count = std::atoi(s);
    list.resize(std::size_t(count));
  }
};
Devices& devices() {
  static Devices d;
  return d;
}
PerDevice& device_at(int device) {
  Devices& d = devices();
  check<DeviceError>(device >= 0 && device < d.count, "cuda", "device ", device, " of ", d.count, " that run on the CPU");
  return d.list[std::size_t(device)];
}
int& current() {
  thread_local int device = 0;
  return device;
}

}  // namespace

int device_count() { return devices().count; }
const char* why_no_device() { return "FRAMEGRAD_SIMT_DEVICES is 0"; }
DeviceFacts facts(int device) {
  device_at(device);
  DeviceFacts f{};
  std::strcpy(f.name, "the CPU, thread by thread (simt)");
  f.multiprocessors = 1, f.major = 8;
  return f;
}
int current_device() { return current(); }
void set_device(int device) {
  if (device != 0) device_at(device);
  current() = device;
}
void* current_stream() { return nullptr; }
void synchronize() {}
void check_call(int error, const char* what) { check<DeviceError>(error == 0, "cuda", what, ": error ", error); }

void* allocate(Index bytes, int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  void* p = d.limit == 0 || d.use.used_bytes + bytes <= d.limit ? std::aligned_alloc(256, std::size_t(bytes + 256) / 256 * 256) : nullptr;
  if (!p)
    throw OutOfMemory(text("allocate: ", bytes, " bytes asked on cuda:", device, ", ", d.use.used_bytes, " in use", d.limit > 0 ? text(", limit ", d.limit) : std::string(),
                           "; a smaller batch, checkpointing (checkpoint_blocks) or bf16 needs less"));
  std::memset(p, 0xff, std::size_t(bytes));
  simt::memory().add(p, std::size_t(bytes));
  d.use.used_bytes += bytes;
  d.use.peak_bytes = std::max(d.use.peak_bytes, d.use.used_bytes);
  return p;
}
void release(void* p, Index bytes, int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  d.use.used_bytes -= bytes;
  simt::memory().remove(p);
  std::free(p);
}
MemoryUse memory_use(int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  return d.use;
}
void reset_peak(int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  d.use.peak_bytes = d.use.used_bytes;
}
void limit_memory(Index bytes, int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  d.limit = bytes;
}
void trim(int device) { device_at(device); }

void copy_to_device(void* to, const void* host, Index bytes) { std::memcpy(to, host, std::size_t(bytes)); }
void copy_to_host(void* host, const void* from, Index bytes) { std::memcpy(host, from, std::size_t(bytes)); }
void copy_on_device(void* to, const void* from, Index bytes) { std::memmove(to, from, std::size_t(bytes)); }
void fill_zero(void* p, Index bytes) { std::memset(p, 0, std::size_t(bytes)); }

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
