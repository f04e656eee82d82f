// framegrad_bench — every row by Google Benchmark, with its rate and its share of what the machine can do.
//
// With --pipe it does as it is told on its input instead, a line at a time, which is how against_torch.py takes turns with PyTorch:
//   peaks        → {"fma": …, "bf16": …, …} in FLOP/s and bytes/s
//   rows         → [{"name", "dtype", "shape", "bound", "amount", "peak", "parameters"}, …]
//   open <i>     → makes the tensors of row i, runs it (twice unless that takes a second), answers the bytes of memory that it took at most
//   run <s>      → runs it for about s seconds, at least once, answers the median and the fastest run in seconds
//   close        → lets go of the tensors
//
// --device cuda, first, runs the rows on a GPU. --ops WORDS prints where the time of rows with these words goes, op by op, by one thread and by all.
#include <benchmark/benchmark.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdio>
#include <iostream>
#include <string>

#include <framegrad/core/storage.hpp>

#include "by_op.hpp"
#include "row.hpp"

namespace bench {
namespace {

/// Memory on the device that the rows run on.
void forget_peak() {
  if constexpr (fg::kWithCuda)
    if (device().kind == fg::Device::Kind::cuda) return fg::cuda::trim(device().index), fg::cuda::reset_peak(device().index);
  fg::Allocator::instance().trim();
  fg::Allocator::instance().reset_peak();
}
Index peak_bytes() {
  if constexpr (fg::kWithCuda)
    if (device().kind == fg::Device::Kind::cuda) return fg::cuda::memory_use(device().index).peak_bytes;
  return fg::Allocator::instance().use().peak_bytes;
}
/// What runs the rows, in a few words.
std::string path() {
  if constexpr (fg::kWithCuda)
    if (device().kind == fg::Device::Kind::cuda) return fg::cuda::facts(device().index).name;
  return std::string(fg::cpu::name_of(fg::cpu::isa()));
}

void report(benchmark::State& state, const Row& row, const Peaks& peaks) {
  const Work work = row.prepare();
  timed(work), timed(work);  // until memory comes from the pool
  forget_peak();
  double spent = 0;
  for (auto _ : state) {
    const double took = timed(work);
    spent += took;
    state.SetIterationTime(took);
  }
  const double seconds = spent / double(state.iterations());
  state.counters[row.bound == Bound::memory ? "GB/s" : "GFLOP/s"] = row.amount / seconds * 1e-9;
  state.counters["share_of_peak"] = row.share(peaks, seconds);
  state.counters["peak_MB"] = double(peak_bytes()) * 1e-6;
  state.SetLabel(row.bound == Bound::memory ? "of copying" : row.dtype == fg::Dtype::bf16 ? "of bf16 products" : "of FMA");
}

void serve() {
  const Peaks peaks = measure_peaks(device());
  Work work;
  for (std::string line; std::getline(std::cin, line);) {
    const std::string word = line.substr(0, line.find(' '));
    const double argument = line.size() > word.size() ? std::stod(line.substr(word.size())) : 0;
    if (word == "peaks") {
      std::printf("{\"fma\": %g, \"bf16\": %g, \"copy_16MB\": %g, \"copy_256MB\": %g, \"path\": \"%s\", \"threads\": %d}\n", peaks.fma, peaks.bf16, peaks.copy_small, peaks.copy_large,
                  path().c_str(), fg::threads());
    } else if (word == "rows") {
      std::string list;
      for (const Row& r : rows())
        list += fg::text(list.empty() ? "" : ", ", "{\"name\": \"", r.name, "\", \"dtype\": \"", r.type(), "\", \"shape\": \"", r.shape, "\", \"bound\": \"",
                         r.bound == Bound::memory ? "memory" : "compute", "\", \"amount\": ", r.amount, ", \"peak\": ", r.peak(peaks), ", \"parameters\": ", r.parameters, "}");
      std::printf("[%s]\n", list.c_str());
    } else if (word == "open") {
      forget_peak();
      work = rows().at(std::size_t(argument)).prepare();
      if (timed(work) < 1) timed(work);
      std::printf("%ld\n", long(peak_bytes()));
    } else if (word == "run") {
      const Times t = time_of(work, argument, 0);
      std::printf("%.9g %.9g\n", t.median, t.best);
    } else if (word == "close") {
      work = {};
      forget_peak();
#if defined(__GLIBC__)
      ::malloc_trim(0);  // the next row's memory is told by what the process has resident
#endif
      std::printf("closed\n");
    }
    std::fflush(stdout);
  }
}

void google_benchmark(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  static const Peaks peaks = measure_peaks(device());
  std::printf("path %s, %d threads; at best %.0f GFLOP/s by FMA, %.0f GFLOP/s in bf16; copying %.1f GB/s within 16 MB, %.1f GB/s within 256 MB\n",
              path().c_str(), fg::threads(), peaks.fma * 1e-9, peaks.bf16 * 1e-9, peaks.copy_small * 1e-9, peaks.copy_large * 1e-9);
  for (const Row& row : rows()) {
    auto* b = benchmark::RegisterBenchmark(row.title().c_str(), [&row](benchmark::State& s) { report(s, row, peaks); });
    b->UseManualTime()->Unit(benchmark::kMillisecond)->MinTime(0.05)->Repetitions(row.amount > 3e11 ? 5 : 15)->DisplayAggregatesOnly();
  }
  benchmark::RunSpecifiedBenchmarks();
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--device") {
    try {
      bench::device() = fg::cuda::device_named(argv[2]);
      if (bench::device().kind == fg::Device::Kind::cuda)
        for (const auto& add_rows : bench::RegisterForGpu::all()) add_rows();
    } catch (const fg::Error& e) {
      return std::fprintf(stderr, "%s\n", e.what()), 1;
    }
    argv[2] = argv[0], argc -= 2, argv += 2;
  }
  if (argc > 1 && std::string_view(argv[1]) == "--pipe") bench::serve();
  else if (argc > 2 && std::string_view(argv[1]) == "--ops") bench::print_by_op(argv[2]);
  else bench::google_benchmark(argc, argv);
}
