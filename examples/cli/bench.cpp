// framegrad bench — the ops that a text-to-video transformer spends its time in, and their share of what this machine can do.
#include <framegrad/ops/attention.hpp>
#include <framegrad/ops/gelu_tanh.hpp>
#include <framegrad/ops/layer_norm.hpp>
#include <framegrad/ops/linear.hpp>

#include "../../bench/row.hpp"
#include "commands.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

using bench::Bound;
using bench::random;
using bench::Run;

template <class T>
void add_rows() {
  constexpr Index N = 4096, C = 1152, hidden = 4608;  // 16 frames of 16x16 patches, at the width of STDiT-XL/2
  const double x = double(N * C) * double(sizeof(T)), product = 2.0 * double(N) * double(C) * double(hidden), scores = 4.0 * 16 * 256 * 256 * double(C);
  bench::add_op<T>("linear", "4096x1152->4608", Bound::compute, product, 3 * product, [] {
    return Run{{random<T, 2>({N, C}), random<T, 2>({hidden, C}, 0.02), random<T, 1>({hidden})},
               [](const auto& in) { return fg::linear(in[0].template as<T, 2>(), in[1].template as<T, 2>(), in[2].template as<T, 1>()); }};
  });
  bench::add_op<T>("attention", "16x16x256x72", Bound::compute, scores, 3.5 * scores, [] {
    return Run{{random<T, 3>({16, 256, C}), random<T, 3>({16, 256, C}), random<T, 3>({16, 256, C})},
               [](const auto& in) { return fg::attention(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>(), 16); }};
  });
  bench::add_op<T>("layer_norm", "4096x1152", Bound::memory, 2 * x, 5 * x, [] {
    return Run{{random<T, 2>({N, C}), random<T, 1>({C}), random<T, 1>({C})},
               [](const auto& in) { return fg::layer_norm(in[0].template as<T, 2>(), in[1].template as<T, 1>(), in[2].template as<T, 1>()); }};
  });
  bench::add_op<T>("gelu_tanh", "4096x4608", Bound::memory, 8 * x, 20 * x, [] {
    return Run{{random<T, 2>({N, hidden})}, [](const auto& in) { return fg::gelu_tanh(in[0].template as<T, 2>()); }};
  });
}

void run_bench(double seconds) {
  const auto peaks = bench::measure_peaks();
  std::printf("path %s, %d threads; at best %.0f GFLOP/s by FMA, %.0f GFLOP/s in bf16; copying %.1f GB/s within 16 MB, %.1f GB/s within 256 MB\n\n",
              std::string(fg::cpu::name_of(fg::cpu::isa())).c_str(), fg::threads(), peaks.fma * 1e-9, peaks.bf16 * 1e-9, peaks.copy_small * 1e-9, peaks.copy_large * 1e-9);
  std::printf("  %-24s %-5s %-18s %10s %14s  %s\n", "", "type", "shape", "median", "rate", "share of the machine's best");
  bench::for_types([](auto t) { add_rows<decltype(t)>(); });
  catch_interrupts();
  for (const auto& row : bench::rows()) {
    const double median = bench::time_of(row.prepare(), seconds).median;
    const bool memory = row.bound == Bound::memory;
    std::printf("  %-24s %-5s %-18s %7.2f ms %7.1f %s  %3.0f %% of %s\n", row.name.c_str(), row.type(), row.shape.c_str(), median * 1e3, row.amount / median * 1e-9, memory ? "GB/s   " : "GFLOP/s",
                100 * row.share(peaks, median), memory ? "copying" : row.dtype == fg::Dtype::bf16 ? "bf16 products" : "FMA");
    std::fflush(stdout);
    if (interrupted) return;
  }
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* c = app.add_subcommand("bench", "times the main ops, beside what this machine can do at best");
  auto seconds = std::make_shared<double>(0.5);
  c->add_option("--seconds", *seconds, "seconds a row")->capture_default_str()->check(CLI::Range(0.01, 60.0));
  c->footer("framegrad_bench has all rows; bench/against_torch.py runs them beside PyTorch's.");
  c->callback([seconds] { run_bench(*seconds); });
}

}  // namespace cli
