// Where a row's time goes: each op and direction by one thread and by all, what of it no second thread can take over, and what it keeps for
// backward. What no op is charged with, such as gradients added up, stands under "elsewhere"; weights that an op keeps are the model's.
//
// What many threads would make of it is counted with one: an executor that has them in name alone runs the ranges of each parallel_for one after
// the other, and deals out the processor time of each to the thread that would be free first. So it holds serial parts and uneven ranges against an
// op, and not what threads share: memory, caches, a core.
#pragma once

#include <time.h>

#include <cstdio>
#include <map>
#include <sstream>
#include <utility>

#include <framegrad/autograd/trace.hpp>

#include "row.hpp"

namespace bench {

using Op = std::pair<std::string, std::string>;  // name, direction
using PerOp = std::map<Op, double>;
inline const Op kAll{"in all", ""}, kElsewhere{"elsewhere", ""};

/// Milliseconds since a run began.
struct Interval {
  Op op;
  double begin, end;
};

/// One run's: the whole first, then each op's.
inline std::vector<Interval> intervals_of(const Work& work) {
  auto& trace = fg::Trace::instance();
  work.before();
  trace.start();
  const double begin = now_s();
  work.run();
  std::vector<Interval> found{{kAll, 0, (now_s() - begin) * 1e3}};
  trace.stop();
  for (const auto& e : trace.events) found.push_back({{e.name, e.direction}, e.start_us * 1e-3, (e.start_us + e.duration_us) * 1e-3});
  return found;
}

/// f of each interval, added up; what the ops leave of the whole is elsewhere.
template <class F>
PerOp by_op(const std::vector<Interval>& intervals, F&& f) {
  PerOp sums;
  for (const Interval& i : intervals) {
    const double value = f(i);
    sums[i.op] += value, sums[kElsewhere] += i.op == kAll ? value : -value;
  }
  return sums;
}

/// Runs, after one that fills the allocator's pool: three, or one if that took long.
inline int tries_after_warming(const Work& work) { return timed(work) > 3 ? 1 : 3; }

/// Milliseconds of each op, the fewest of some runs.
inline PerOp op_times(const Work& work, int threads, std::map<Op, int>& calls) {
  fg::set_threads(threads);
  PerOp fewest;
  for (int i = tries_after_warming(work); i > 0; --i) {
    const auto intervals = intervals_of(work);
    calls.clear();
    for (const auto& each : intervals) ++calls[each.op];
    for (const auto& [op, ms] : by_op(intervals, [](const Interval& each) { return each.end - each.begin; })) {
      const auto [at, first] = fewest.try_emplace(op, ms);
      if (!first) at->second = std::min(at->second, ms);
    }
  }
  return fewest;
}

inline double processor_ms() {
  timespec t;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e3 + double(t.tv_nsec) * 1e-6;
}

/// How many times faster `threads` threads that hinder each other in nothing would be, told from runs by one; of some the best.
inline PerOp dealt_out(const Work& work, int threads) {
  struct Region {
    double begin, took, processor, longest;  // milliseconds: since the run began, of all ranges, of the busiest thread
  };
  std::vector<Region> regions;
  const auto now_ms = [] { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - fg::Trace::instance().origin).count(); };
  fg::set_executor({threads, [&](Index count, const std::function<void(Index)>& task) {
                      std::vector<double> busy(std::size_t(threads), 0.0);
                      Region r{now_ms(), 0, processor_ms(), 0};
                      for (Index i = 0; i < count; ++i) {
                        const double at = processor_ms();
                        task(i);
                        *std::min_element(busy.begin(), busy.end()) += processor_ms() - at;
                      }
                      r.processor = processor_ms() - r.processor, r.took = now_ms() - r.begin, r.longest = *std::max_element(busy.begin(), busy.end());
                      regions.push_back(r);
                    }});
  PerOp factors;
  for (int i = tries_after_warming(work); i > 0; --i) {
    regions.clear();
    const auto intervals = intervals_of(work);
    const auto with = [&](double Region::*ranges) {  // outside of ranges by the clock, where others may be let in between; inside by processor time
      return by_op(intervals, [&](const Interval& each) {
        double ms = each.end - each.begin;
        for (const Region& r : regions)
          if (r.begin >= each.begin && r.begin < each.end) ms += r.*ranges - r.took;
        return ms;
      });
    };
    PerOp one = with(&Region::processor), many = with(&Region::longest);
    for (const auto& [op, ms] : one) factors[op] = std::max(factors[op], ms / many[op]);
  }
  return factors;
}

/// A table of the row, the longest op first.
inline void print_by_op(const Row& row) {
  const int threads = fg::threads();
  const Work work = row.prepare();
  std::map<Op, int> calls;
  PerOp one = op_times(work, 1, calls), all = threads > 1 ? op_times(work, threads, calls) : one;
  std::vector<PerOp> dealt;
  for (const int n : {2, 8, 32}) dealt.push_back(dealt_out(work, n));
  fg::set_threads(threads);
  auto& kept = fg::KeptMemory::instance();
  kept.start();
  timed(work);
  const auto memory = kept.ops;
  kept.stop();

  std::printf("%s: %.0f ms by 1 thread, %.0f ms by %d\n", row.title().c_str(), one[kAll], all[kAll], threads);
  std::printf("%-22s %-9s %5s %10s %7s %10s %7s   %s %9s\n", "op", "direction", "calls", "1 thread", "share", "all", "factor", "dealt to 2      to 8     to 32", "kept MB");
  std::vector<std::pair<double, Op>> longest;
  for (const auto& [op, ms] : one)
    if (op != kAll && op != kElsewhere) longest.push_back({-ms, op});
  std::sort(longest.begin(), longest.end());
  longest.push_back({0, kElsewhere}), longest.push_back({0, kAll});
  for (const auto& [order, op] : longest) {
    std::printf("%-22s %-9s %5d %10.2f %6.1f%% %10.2f %7.2f  ", op.first.c_str(), op.second.c_str(), calls[op], one[op], 100 * one[op] / one[kAll], all[op], one[op] / all[op]);
    for (auto& d : dealt) std::printf(" %9.2f", d[op]);
    const auto bytes = memory.find(op.first);
    if (op.second == "forward" && bytes != memory.end()) std::printf(" %9.1f", double(bytes->second.bytes) * 1e-6);
    std::printf("\n");
  }
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
