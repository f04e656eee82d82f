// Where a row's time goes: each op and direction by one thread and by all, and what it keeps for backward. What no op is charged with, such as
// gradients added up and memory freed, stands under "elsewhere".
#pragma once

#include <cstdio>
#include <map>
#include <sstream>
#include <utility>

#include <framegrad/autograd/trace.hpp>

#include "row.hpp"

namespace bench {

/// Milliseconds of each op and direction in one run, the fewest of `tries` runs, and those of the run as a whole.
struct OpTimes {
  std::map<std::pair<std::string, std::string>, double> ops;
  std::map<std::pair<std::string, std::string>, int> calls;
  double all = 1e30;
};

inline OpTimes op_times(const Work& work, int threads, int tries) {
  fg::set_threads(threads);
  timed(work);
  OpTimes fewest;
  auto& trace = fg::Trace::instance();
  for (int i = 0; i < tries; ++i) {
    trace.start();
    fewest.all = std::min(fewest.all, timed(work) * 1e3);
    trace.stop();
    std::map<std::pair<std::string, std::string>, double> ops;
    fewest.calls.clear();
    for (const auto& e : trace.events) ops[{e.name, e.direction}] += e.duration_us * 1e-3, ++fewest.calls[{e.name, e.direction}];
    for (const auto& [op, ms] : ops) {
      const auto [at, first] = fewest.ops.try_emplace(op, ms);
      if (!first) at->second = std::min(at->second, ms);
    }
  }
  return fewest;
}

/// A table of the row, the longest op first.
inline void print_by_op(const Row& row) {
  constexpr int kTries = 3;
  const int threads = fg::threads();
  const Work work = row.prepare();
  const OpTimes one = op_times(work, 1, kTries), all = threads > 1 ? op_times(work, threads, kTries) : one;
  auto& kept = fg::KeptMemory::instance();
  kept.start();
  timed(work);
  const auto memory = kept.ops;
  kept.stop();

  std::printf("%s, %d threads\n%-22s %-9s %6s %12s %12s %7s %7s %9s\n", row.title().c_str(), threads, "op", "direction", "calls", "ms, 1 thread", "ms, all", "factor", "share", "kept MB");
  std::vector<std::pair<double, std::pair<std::string, std::string>>> longest;
  double one_left = one.all, all_left = all.all;
  for (const auto& [op, ms] : all.ops) longest.push_back({-ms, op}), all_left -= ms, one_left -= one.ops.at(op);
  std::sort(longest.begin(), longest.end());
  const auto line = [&](const std::string& name, const std::string& direction, int calls, double ms_one, double ms_all, double bytes) {
    std::printf("%-22s %-9s %6d %12.2f %12.2f %7.2f %6.1f%% %9.1f\n", name.c_str(), direction.c_str(), calls, ms_one, ms_all, ms_one / ms_all, 100 * ms_all / all.all, bytes * 1e-6);
  };
  for (const auto& [negative, op] : longest) {
    const auto bytes = memory.find(op.first);
    line(op.first, op.second, all.calls.at(op), one.ops.at(op), -negative, op.second == "forward" && bytes != memory.end() ? double(bytes->second.bytes) : 0);
  }
  line("elsewhere", "", 1, one_left, all_left, 0);
  line("in all", "", 1, one.all, all.all, 0);
}

/// Of each row with all of these words in its title.
inline void print_by_op(const std::string& words) {
  for (const Row& row : rows()) {
    bool all = true;
    std::istringstream each(words);
    for (std::string word; each >> word;) all = all && row.title().find(word) != std::string::npos;
    if (all) print_by_op(row), std::printf("\n");
  }
}

}  // namespace bench
