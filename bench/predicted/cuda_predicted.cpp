// framegrad_cuda_predicted RESOURCES — docs/benchmarks/cuda_predicted.md, to standard output: what the kernels should take on an H200, by counting.
//
// Bytes and FLOPs are counted from the shapes; registers and shared memory stand in tests/cuda/resources.txt; bank conflicts and the bytes that kernels
// really move are counted while each op runs here on the CPU, small, with the kernels that the model's shape takes.
#include <cstdio>
#include <iostream>

#include <framegrad/core/parallel.hpp>

#include "occupancy.hpp"
#include "rows.hpp"

namespace predicted {
namespace {

// An H200 by its data sheet, and what is taken to be reached of it. Assumptions, each of them: nothing here was measured.
constexpr double kMemory = 4.8e12, kMemoryReached = 0.85;
constexpr double kTensorCores = 989e12, kMmaReached = 0.6, kLibraryReached = 0.75;  // dense bf16; mma.sync doesn't reach what wgmma does

struct Prediction {
  double seconds;
  const char* bound;
};
Prediction predict(const Row& r) {
  const double memory = r.cost.bytes / (kMemory * kMemoryReached);
  if (r.unit == Unit::none) return {memory, "memory"};
  const double products = r.cost.flops / (kTensorCores * (r.unit == Unit::library ? kLibraryReached : kMmaReached));
  return products > memory ? Prediction{products, "products"} : Prediction{memory, "memory"};
}

/// Whether a kernel only turns a leaf's gradient into f32, or into the leaf's order: in a model gradients go on to the op before.
bool of_leaf(const Row& r, const Kernel& k) {
  return r.op.ends_with(", gradients") && (k.name.starts_with("cuda::copy_walk<int, float, bf16") || k.name.starts_with("cuda::transpose<"));
}

/// A row and its kernels, of which a leaf's are left out; none where another model's shape has them already and their traffic says nothing.
struct Counted {
  const Row& row;
  std::vector<Kernel> kernels;
  bool repeats;  // another model's shape

  /// Bytes by `of` of all kernels, as a multiple of the least.
  std::string times_least(double Kernel::* of) const;
};
std::vector<Counted> count_all() {
  Launches launches;
  std::map<std::string, bool> seen;
  std::vector<Counted> all;
  for (const Row& r : rows()) {
    const bool repeats = !seen.emplace(r.op, true).second;
    all.push_back({r, {}, repeats});
    if (repeats && r.cost.small_bytes == 0) continue;
    for (Kernel& k : r.run(launches))
      if (!of_leaf(r, k)) all.back().kernels.push_back(std::move(k));
  }
  return all;
}

std::string number(const char* format, double v) {
  char text[32];
  std::snprintf(text, sizeof text, format, v);
  return text;
}

std::string Counted::times_least(double Kernel::* of) const {
  double bytes = 0;
  for (const Kernel& k : kernels) bytes += k.*of;
  return row.cost.small_bytes > 0 && bytes > 0 ? number("%.2f", bytes / row.cost.small_bytes) : std::string();
}

void print(const ResourceTable& table) {
  const std::vector<Counted> all = count_all();
  std::cout << "# Kernels on an H200, predicted\n\n"
               "**No row of this page has run on a GPU.** `framegrad_cuda_predicted tests/cuda/resources.txt` writes it: counts, and what a simple model makes of them.\n\n"
               "Bytes are the least that an op can move: each input once (group_norm's twice: its moments come first), each output once, 16-bit numbers. A time is the longer one of\n\n"
               "- bytes over "
            << number("%.2f", kMemoryReached) << " of 4.8 TB/s,\n- FLOPs over " << number("%.2f", kMmaReached) << " of 989 TFLOP/s (dense bf16) where our kernels multiply, by mma.sync, and over "
            << number("%.2f", kLibraryReached)
            << " of it where cuBLASLt does.\n\n"
               "These shares are assumptions. The model knows no launches (some microseconds each), no tails of a grid, no latency and no caches: what a\n"
               "second-level cache of 50 MB still holds comes sooner. Operations are those that the shapes ask for; the tiles of head_dim 72 compute 80.\n\n"
               "What the kernels really move was counted while each op ran on the CPU at a small size, by sectors of 32 bytes, as a multiple of the least bytes of that\n"
               "size. *Moved*: every launch reads and writes each sector that it touches once, as if caches lost nothing within a launch and everything between two.\n"
               "*Asked*: each access of a warp, as if there were no caches. A row with 1.0 and 1.0 moves what it must. What rows share (a gain, a condition, partial\n"
               "sums) weighs more at the small size than at the model's, where *moved* is lower; attention's *asked* grows with the tokens. Convolutions, whose small\n"
               "run is mostly weights, lookups and the library's products have no such figure.\n\n"
               "| op | where | MB at least | moved | asked | GFLOP | bound by | predicted ms | |\n|---|---|---:|---:|---:|---:|---|---:|---|\n";
  for (const Counted& c : all) {
    const Row& r = c.row;
    const Prediction p = predict(r);
    std::cout << "| " << r.op << " | " << r.where << " | " << number("%.1f", r.cost.bytes / 1e6) << " | " << c.times_least(&Kernel::moved) << " | " << c.times_least(&Kernel::asked) << " | " << (r.cost.flops ? number("%.1f", r.cost.flops / 1e9) : std::string()) << " | " << p.bound
              << " | " << number("%.4f", p.seconds * 1e3) << " | not yet run on a GPU |\n";
  }
  std::cout << "\n## The kernels behind them\n\n"
               "Registers, spilled bytes and static shared memory are ptxas's, for sm_90 where the build has that, otherwise for sm_80. Occupancy is the share of a multiprocessor's\n"
               "64 warps (64 Ki registers, 228 KiB of shared memory, 32 blocks). Conflicts are the passes beyond the first, of a hundred accesses of shared memory by a warp (half or\n"
               "quarter warp, for wide ones), counted while the op ran on the CPU at a small size. Kernels that only pack, or add up what blocks left, stand beside the ones that do the work.\n\n"
               "| op | kernel | threads | registers | spilled | shared KiB | occupancy | conflicts |\n|---|---|---:|---:|---:|---:|---:|---:|\n";
  for (const Counted& c : all) {
    if (c.repeats) continue;
    const Row& r = c.row;
    for (const Kernel& k : c.kernels) {
      const auto resources = table.find(k.name);
      std::cout << "| " << r.op << " | `" << k.name << "` | " << k.threads << " | ";
      if (resources) {
        const int warps = blocks_at_once(*resources, k.threads, k.shared) * int((k.threads + 31) / 32);
        std::cout << resources->registers << " | " << resources->spilled << " | " << number("%.1f", double(resources->shared + k.shared) / 1024) << " | "
                  << number("%.0f %%", 100.0 * warps / kWarpsOfMultiprocessor);
      } else {
        std::cout << "? | ? | " << number("%.1f", double(k.shared) / 1024) << " | ?";
      }
      std::cout << " | " << (k.banks.accesses ? number("%.1f", 100.0 * double(k.banks.conflicts) / double(k.banks.accesses)) : std::string("none")) << " |\n";
    }
  }
}

}  // namespace
}  // namespace predicted

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "framegrad_cuda_predicted tests/cuda/resources.txt\n";
    return 2;
  }
  fg::set_threads(1);
  predicted::add_attention_rows();
  predicted::add_norm_rows();
  predicted::add_conv_rows();
  predicted::add_other_rows();
  predicted::print(predicted::ResourceTable(argv[1]));
  predicted::rows().clear();  // what they hold on the device goes before its memory does
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
