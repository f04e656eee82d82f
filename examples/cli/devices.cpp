// framegrad devices — what the processor and this build have, and which path the kernels take.
#include <fstream>

#include <framegrad/core/parallel.hpp>
#include <framegrad/core/storage.hpp>
#include <framegrad/cpu/features.hpp>

#if __has_include(<libavformat/avformat.h>)
extern "C" {
#include <libavutil/avutil.h>
}
#endif

#include "commands.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

/// The text after "key :" in a file of the kernel's, or "".
std::string line_of(const char* path, std::string_view key) {
  std::ifstream f(path);
  for (std::string line; std::getline(f, line);) {
    if (!line.starts_with(key)) continue;
    const auto colon = line.find(':');
    const auto begin = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string memory_of(std::string_view key) { return size_text(std::strtod(line_of("/proc/meminfo", key).c_str(), nullptr) * 1024); }

/// Whether a freed block stays for the next tensor: tried, since several things decide it.
bool allocator_keeps_blocks() {
  auto& a = fg::Allocator::instance();
  constexpr Index kBytes = 1 << 20;
  a.release(a.allocate(kBytes), kBytes);
  return a.use().cached_bytes > 0;
}

const char* build_type() {
#if defined(__SANITIZE_ADDRESS__)
  return "with AddressSanitizer";
#elif !defined(__OPTIMIZE__)
  return "without optimisation: for debugging, not for measuring";
#elif defined(NDEBUG)
  return "optimised";
#else
  return "optimised, with assertions";
#endif
}

void run_devices() {
  using fg::cpu::Isa;
  const std::string model = line_of("/proc/cpuinfo", "model name");
  std::printf("processor      %s\n", model.empty() ? "unknown" : model.c_str());
  std::string found, missing;
  for (int i = 0; i < fg::cpu::kIsas; ++i) {
    auto& list = fg::cpu::supported(Isa(i)) ? found : missing;
    list += std::string(list.empty() ? "" : ", ") + std::string(fg::cpu::name_of(Isa(i)));
  }
  std::printf("paths          %s%s%s\n", found.c_str(), missing.empty() ? "" : "; not here: ", missing.c_str());
  const char* forced = std::getenv("FRAMEGRAD_CPU");
  const bool is_forced = forced && *forced;
  std::printf("path taken     %s%s\n", std::string(fg::cpu::name_of(fg::cpu::isa())).c_str(), is_forced ? ", as FRAMEGRAD_CPU says" : "; FRAMEGRAD_CPU=<path> forces another");
  std::printf("threads        %d of %u processors; --threads or FRAMEGRAD_THREADS sets them\n", fg::threads(), std::thread::hardware_concurrency());
  std::printf("caches         L1 %s, L2 %s, L3 %s\n", size_text(double(::sysconf(_SC_LEVEL1_DCACHE_SIZE))).c_str(), size_text(double(::sysconf(_SC_LEVEL2_CACHE_SIZE))).c_str(),
              size_text(double(::sysconf(_SC_LEVEL3_CACHE_SIZE))).c_str());
  std::printf("memory         %s, %s of it available\n", memory_of("MemTotal").c_str(), memory_of("MemAvailable").c_str());
  std::printf("allocator      %s\n", allocator_keeps_blocks() ? "keeps freed blocks; FRAMEGRAD_ALLOCATOR=system gives them back at once" : "the system's: freed blocks are given back at once");
  if constexpr (fg::kWithCuda) {
    const int gpus = fg::cuda::device_count();
    if (gpus == 0) std::printf("GPU            none: %s\n", fg::cuda::why_no_device());
    for (int i = 0; i < gpus; ++i) {
      const auto f = fg::cuda::facts(i);
      std::printf("GPU            cuda:%d, %s, %s, %d multiprocessors, sm_%d%d\n", i, f.name, size_text(double(f.memory_bytes)).c_str(), f.multiprocessors, f.major, f.minor);
    }
  } else {
    std::printf("GPU            not in this build: configure with -DFRAMEGRAD_CUDA=ON where the CUDA Toolkit is\n");
  }
#if __has_include(<libavformat/avformat.h>)
  std::printf("FFmpeg         %s: video files are read and written\n", av_version_info());
#else
  std::printf("FFmpeg         not in this build: npy in, gif and png out (Debian: libavformat-dev libavcodec-dev libswscale-dev)\n");
#endif
  std::printf("framegrad      %s, %s, by %s %s\n", fg::kVersion, build_type(),
#if defined(__clang__)
              "clang", __clang_version__
#else
              "g++", __VERSION__
#endif
  );
}

}  // namespace

void add_devices(CLI::App& app) {
  app.add_subcommand("devices", "what the processor and this build have, and which path the kernels take")->callback([] { run_devices(); });
}

}  // namespace cli
