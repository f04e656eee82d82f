// How much of a multiprocessor a kernel's blocks can fill, by what ptxas told of the kernel: the limits of sm_90 (CUDA Programming Guide, table of
// compute capabilities; registers are given out by 256 a warp and lie in four parts, shared memory by 128 bytes, 1 KiB of it kept for each block).
#pragma once

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>

namespace predicted {

struct Resources {
  int registers = 0, spilled = 0;
  std::size_t shared = 0;  // static
};

/// tests/cuda/resources.txt: of sm_90 where it has a kernel for that, otherwise of sm_80.
class ResourceTable {
 public:
  explicit ResourceTable(const std::string& path) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      if (line.empty() || line[0] == '#') continue;
      std::istringstream fields(line);
      std::string name, architecture;
      Resources r;
      std::getline(fields, name, '\t'), std::getline(fields, architecture, '\t');
      fields >> r.registers >> r.spilled >> r.shared;
      if (architecture == "sm_90" || !of_.count(name)) of_[name] = r;
    }
  }
  std::optional<Resources> find(const std::string& kernel) const {
    const auto at = of_.find(kernel);
    return at == of_.end() ? std::nullopt : std::optional(at->second);
  }

 private:
  std::map<std::string, Resources> of_;
};

inline constexpr int kWarpsOfMultiprocessor = 64;

/// Blocks that a multiprocessor holds at once.
inline int blocks_at_once(const Resources& r, unsigned threads, std::size_t dynamic_shared) {
  constexpr int kBlocks = 32, kRegistersOfPart = 16384, kParts = 4;
  constexpr std::size_t kShared = 228 << 10, kKept = 1 << 10;
  const int warps = int(threads + 31) / 32, of_warp = (r.registers * 32 + 255) / 256 * 256;
  const int by_registers = of_warp ? kRegistersOfPart / of_warp * kParts / warps : kBlocks;
  const std::size_t shared = (r.shared + dynamic_shared + 127) / 128 * 128 + kKept;
  return std::min({kBlocks, kWarpsOfMultiprocessor / warps, by_registers, int(kShared / shared)});
}

}  // namespace predicted
