// DLPack — tensors handed to and taken from other libraries in the same process, without a copy.
//
// The structs below have the layout of DLPack's C ABI up to 0.8 (github.com/dmlc/dlpack, "Python Specification" and "C API"), declared
// here so that no header of it is needed; a pointer to the original DLManagedTensor is one to this by reinterpret_cast.
// Ownership: whoever holds a DLManagedTensor calls its deleter once, and the memory lives until then.
#pragma once

#include <memory>
#include <optional>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace dlpack {

struct Device {
  std::int32_t type;  // 1: CPU
  std::int32_t id;
};
struct DataType {
  std::uint8_t code;  // 0 int, 1 unsigned int, 2 float, 4 bfloat, 6 bool
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: row-major
  std::uint64_t byte_offset;
};
struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor* self);
};
static_assert(sizeof(void*) != 8 || (sizeof(Tensor) == 48 && sizeof(ManagedTensor) == 64));

inline constexpr std::int32_t kCpuType = 1;

constexpr DataType type_of(Dtype d) {
  constexpr std::uint8_t codes[] = {2, 2, 4, 2, 0, 0, 1, 6};
  return {codes[int(d)], std::uint8_t(8 * item_bytes(d)), 1};
}

}  // namespace dlpack

/// The tensor's memory for another library, which must call the deleter; the graph stays behind. Throws DeviceError off the CPU.
inline dlpack::ManagedTensor* to_dlpack(const AnyTensor& t) {
  check<DeviceError>(t.defined() && t.allocated() && t.device() == kCpu, "to_dlpack", "the tensor has no memory on the CPU");
  struct Holder {
    dlpack::ManagedTensor managed;
    AnyTensor tensor;
    Shape sizes;
    Strides strides;
  };
  auto holder = std::make_unique<Holder>();
  holder->tensor = t.detach(), holder->sizes = t.sizes(), holder->strides = t.strides();
  holder->managed = {{t.raw(), {dlpack::kCpuType, 0}, t.rank(), dlpack::type_of(t.dtype()), holder->sizes.begin(), holder->strides.begin(), 0},
                     holder.get(),
                     [](dlpack::ManagedTensor* self) { delete static_cast<Holder*>(self->context); }};
  return &holder.release()->managed;
}

/// A tensor over another library's memory; its deleter runs when the last handle goes. If this throws, `managed` still belongs to
/// the caller. Throws DeviceError off the CPU, DtypeError for a type that we don't have, ShapeError for a rank above 8, a negative size or stride.
inline AnyTensor from_dlpack(dlpack::ManagedTensor* managed) {
  check<Error>(managed != nullptr, "from_dlpack", "the pointer is null");
  const dlpack::Tensor& d = managed->tensor;
  check<DeviceError>(d.device.type == dlpack::kCpuType, "from_dlpack", "the device has type ", d.device.type, ", 1 (CPU) is needed");
  std::optional<Dtype> dtype;
  for (int i = 0; i <= int(Dtype::boolean); ++i)
    if (const auto t = dlpack::type_of(Dtype(i)); t.code == d.dtype.code && t.bits == d.dtype.bits && t.lanes == d.dtype.lanes) dtype = Dtype(i);
  check_dtype(dtype.has_value(), "from_dlpack", "type code ", int(d.dtype.code), " with ", int(d.dtype.bits), " bits and ", int(d.dtype.lanes), " lanes has no counterpart");
  check_shape(d.ndim >= 0 && d.ndim <= kMaxRank, "from_dlpack", "rank ", d.ndim, ", at most ", kMaxRank, " is possible");
  Geometry g;
  if (d.ndim > 0) g.sizes = Shape(std::span<const Index>(d.shape, std::size_t(d.ndim)));
  for (const Index n : g.sizes) check_shape(n >= 0, "from_dlpack", "sizes ", g.sizes);
  g.strides = d.ndim > 0 && d.strides ? Strides(std::span<const Index>(d.strides, std::size_t(d.ndim))) : row_major(g.sizes);
  Index last = 0;
  for (int i = 0; i < g.rank(); ++i) {
    check_shape(g.strides[i] >= 0 || g.sizes[i] <= 1, "from_dlpack", "strides ", g.strides, ": none may be negative");
    last += (g.sizes[i] - 1) * g.strides[i];
  }
  char* first = static_cast<char*>(d.data) + d.byte_offset;
  const Index item = item_bytes(*dtype), bytes = g.count() == 0 ? 0 : (last + 1) * item;
  check_shape(bytes == 0 || d.data, "from_dlpack", "no memory for sizes ", g.sizes);
  check_shape(reinterpret_cast<std::uintptr_t>(first) % std::uintptr_t(item) == 0, "from_dlpack", "the memory isn't aligned for ", *dtype);
  return AnyTensor::over(std::make_shared<Storage>(first, bytes, [managed] {
                           if (managed->deleter) managed->deleter(managed);
                         }),
                         *dtype, g);
}

}  // namespace fg::inline FRAMEGRAD_ABI
