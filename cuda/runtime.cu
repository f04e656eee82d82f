// The GPU's runtime: devices, streams, memory (core/backend.hpp). Memory comes from the driver's stream-ordered pool, which keeps what is freed, so
// that neither an allocation nor a release waits for the device.
#include <cuda_runtime_api.h>

#include <mutex>
#include <string>
#include <vector>

#include <framegrad/core/backend.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

struct PerDevice {
  std::mutex mutex;
  MemoryUse use;
  Index limit = 0;
  bool ready = false;
};

struct Devices {
  int count = 0;
  std::string why;
  std::vector<PerDevice> list;

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
    list = std::vector<PerDevice>(std::size_t(count));
  }
};
Devices& devices() {
  static Devices d;
  return d;
}

PerDevice& device_at(int device) {
  Devices& d = devices();
  check<DeviceError>(device >= 0 && device < d.count, "cuda", "device ", device, " of ", d.count, d.count ? "" : text(": ", d.why));
  return d.list[std::size_t(device)];
}

// This thread's streams, made when first needed; they end with the process.
cudaStream_t stream_of(int device) {
  thread_local std::vector<cudaStream_t> streams;
  if (streams.size() < devices().list.size()) streams.resize(devices().list.size());
  cudaStream_t& s = streams.at(std::size_t(device));
  if (!s) check_call(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "making a stream");
  return s;
}

/// The pool keeps all memory it was given, until trim.
void prepare(PerDevice& d, int device) {
  if (d.ready) return;
  cudaMemPool_t pool;
  check_call(cudaDeviceGetDefaultMemPool(&pool, device), "the memory pool");
  std::uint64_t threshold = ~std::uint64_t(0);
  check_call(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold), "the memory pool");
  d.ready = true;
}

}  // namespace

int device_count() { return devices().count; }
const char* why_no_device() { return devices().why.c_str(); }

DeviceFacts facts(int device) {
  device_at(device);
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
  if (device_count() == 0 && device == 0) return;  // DeviceScope's way back on a machine without a GPU
  device_at(device);
  check_call(cudaSetDevice(device), "choosing a device");
}
void* current_stream() { return stream_of(current_device()); }
void synchronize() { check_call(cudaStreamSynchronize(stream_of(current_device())), "waiting for the stream"); }
void check_call(int error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw DeviceError(text("cuda: ", what, ": ", cudaGetErrorString(cudaError_t(error))));
}

void* allocate(Index bytes, int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  const DeviceScope scope(device);
  prepare(d, device);
  void* p = nullptr;
  const bool within = d.limit == 0 || d.use.used_bytes + bytes <= d.limit;
  cudaError_t error = within ? cudaMallocAsync(&p, std::size_t(bytes ? bytes : 1), stream_of(device)) : cudaErrorMemoryAllocation;
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw OutOfMemory(text("allocate: ", bytes, " bytes asked on cuda:", device, ", ", d.use.used_bytes, " in use, ", Index(free), " of ", Index(total), " free",
                           d.limit > 0 ? text(", limit ", d.limit) : std::string(), "; a smaller batch, checkpointing (checkpoint_blocks) or bf16 needs less"));
  }
  check_call(error, "allocating memory");
  d.use.used_bytes += bytes;
  d.use.peak_bytes = std::max(d.use.peak_bytes, d.use.used_bytes);
  return p;
}
void release(void* p, Index bytes, int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  const DeviceScope scope(device);
  d.use.used_bytes -= bytes;
  cudaFreeAsync(p, stream_of(device));  // no check: a destructor calls this, and an earlier error has been thrown where it arose
}
MemoryUse memory_use(int device) {
  PerDevice& d = device_at(device);
  const std::lock_guard lock(d.mutex);
  MemoryUse use = d.use;
  cudaMemPool_t pool;
  std::uint64_t held = 0;
  if (cudaDeviceGetDefaultMemPool(&pool, device) == cudaSuccess && cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &held) == cudaSuccess)
    use.cached_bytes = std::max<Index>(0, Index(held) - use.used_bytes);
  return use;
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
void trim(int device) {
  device_at(device);
  const DeviceScope scope(device);
  synchronize();
  cudaMemPool_t pool;
  check_call(cudaDeviceGetDefaultMemPool(&pool, device), "the memory pool");
  check_call(cudaMemPoolTrimTo(pool, 0), "trimming the memory pool");
}

void copy_to_device(void* to, const void* host, Index bytes) {
  check_call(cudaMemcpyAsync(to, host, std::size_t(bytes), cudaMemcpyHostToDevice, stream_of(current_device())), "copying to the device");
}
void copy_to_host(void* host, const void* from, Index bytes) {
  check_call(cudaMemcpyAsync(host, from, std::size_t(bytes), cudaMemcpyDeviceToHost, stream_of(current_device())), "copying to the host");
  synchronize();
}
void copy_on_device(void* to, const void* from, Index bytes) {
  check_call(cudaMemcpyAsync(to, from, std::size_t(bytes), cudaMemcpyDeviceToDevice, stream_of(current_device())), "copying on the device");
}
void fill_zero(void* p, Index bytes) { check_call(cudaMemsetAsync(p, 0, std::size_t(bytes), stream_of(current_device())), "clearing memory"); }

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
