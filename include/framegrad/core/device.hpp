// Where a tensor's memory lives.
#pragma once

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Tags that choose an op's kernels: forward(Cpu, …) or forward(Cuda, …).
struct Cpu {};
struct Cuda {};

/// cpu: host memory. cuda: a GPU, by index. meta: no memory at all, only sizes; a run on meta tensors is a forecast of
/// what the same run takes (design: `infer` gives all shapes, and the kernels are left out).
struct Device {
  enum class Kind : std::uint8_t { cpu, cuda, meta };
  Kind kind = Kind::cpu;
  std::int8_t index = 0;
  bool operator==(const Device&) const = default;
  std::string str() const {
    return kind == Kind::cpu ? "cpu" : kind == Kind::meta ? "meta" : text("cuda:", int(index));
  }
};

inline constexpr Device kCpu{};
/// The GPU of this index: tensors on it need a build with framegrad::cuda.
constexpr Device cuda_device(int index = 0) { return {Device::Kind::cuda, std::int8_t(index)}; }

inline constexpr Device kMeta{Device::Kind::meta, 0};

}  // namespace fg::inline FRAMEGRAD_ABI
