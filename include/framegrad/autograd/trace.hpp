// What ran and how long it took, and where a NaN came from.
//
// trace::start() … trace::write(path) gives a file for chrome://tracing or ui.perfetto.dev: one bar an op and direction,
// with bytes moved and FLOPs. set_detect_anomaly(true) stops at the first op that makes a NaN.
#pragma once

#include <chrono>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <framegrad/autograd/copy.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct TraceEvent {
  std::string name, direction;
  double start_us = 0, duration_us = 0;
  Index bytes = 0;
  double flops = 0;
};

/// The events of this thread, while on.
struct Trace {
  bool on = false;
  std::chrono::steady_clock::time_point origin;
  std::vector<TraceEvent> events;

  static Trace& instance() {
    static thread_local Trace t;
    return t;
  }
  void start() { on = true, events.clear(), origin = std::chrono::steady_clock::now(); }
  void stop() { on = false; }
  /// Chrome's trace format (JSON). Throws FileError.
  void write(const std::string& path) const {
    std::ofstream f(path);
    f << std::fixed << std::setprecision(3) << "{\"traceEvents\":[";
    const char* separator = "\n";
    for (const auto& e : events) {
      f << separator << "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"name\":\"" << e.name << "\",\"cat\":\"" << e.direction << "\",\"ts\":" << e.start_us
        << ",\"dur\":" << e.duration_us << ",\"args\":{\"bytes\":" << e.bytes << ",\"flops\":" << e.flops << "}}";
      separator = ",\n";
    }
    f << "\n]}\n";
    f.flush();
    check<FileError>(f.good(), "trace", "can't write ", path);
  }
};

class TraceScope {
 public:
  TraceScope(std::string_view name, std::string_view direction) : on_(Trace::instance().on), name_(name), direction_(direction) {
    if (on_) start_ = std::chrono::steady_clock::now();
    if constexpr (kWithCuda) outer_ = std::exchange(cuda::RunningOp::instance().now, name);
  }
  ~TraceScope() {
    if constexpr (kWithCuda) cuda::RunningOp::instance() = {outer_, name_};
    if (!on_) return;
    auto& t = Trace::instance();
    const auto us = [&](auto d) { return std::chrono::duration<double, std::micro>(d).count(); };
    const auto now = std::chrono::steady_clock::now();
    t.events.push_back({std::string(name_), std::string(direction_), us(start_ - t.origin), us(now - start_), bytes, flops});
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;
  bool on() const { return on_; }

  Index bytes = 0;
  double flops = 0;

 private:
  bool on_;
  std::string_view name_, direction_, outer_;
  std::chrono::steady_clock::time_point start_;
};

/// FLOPs of what this thread ran (or would have, on meta): forward, and twice that for a recorded op's backward.
struct FlopCount {
  double forward = 0, backward = 0;
  static FlopCount& instance() {
    static thread_local FlopCount c;
    return c;
  }
};

/// What this thread's ops keep for backward, while on. A piece of memory that several ops share counts once, for the first of them.
struct KeptMemory {
  struct Op { Index calls = 0, bytes = 0; };
  bool on = false;
  std::map<std::string, Op, std::less<>> ops;

  static KeptMemory& instance() {
    static thread_local KeptMemory m;
    return m;
  }
  void start() { on = true, ops.clear(), seen_.clear(); }
  void stop() { on = false, seen_.clear(); }
  /// Memory that stays anyway, such as a parameter's.
  void leave_out(const AnyTensor& t) { seen_.insert(t.storage().get()); }
  void add(std::string_view op, const std::vector<AnyTensor>& saved) {
    Op& o = ops.try_emplace(std::string(op)).first->second;
    ++o.calls;
    for (const AnyTensor& t : saved)
      if (t.allocated() && seen_.insert(t.storage().get()).second) o.bytes += t.storage()->bytes();
  }

 private:
  std::unordered_set<const Storage*> seen_;
};

namespace detail {
inline void count_flops(double flops, bool recorded) {
  FlopCount::instance().forward += flops;
  if (recorded) FlopCount::instance().backward += 2 * flops;
}
inline bool& anomaly_mode() {
  static bool on = false;
  return on;
}
}  // namespace detail

inline bool detect_anomaly() { return detail::anomaly_mode(); }
inline void set_detect_anomaly(bool on) { detail::anomaly_mode() = on; }

/// Throws GradError naming the op if a dense tensor holds a NaN.
inline void check_no_nan(const AnyTensor& t, std::string_view op, std::string_view direction) {
  if (!is_floating_dtype(t.dtype()) || !t.is_dense()) return;
  if (t.device().kind == Device::Kind::cuda) return check_no_nan(to(t, kCpu), op, direction);
  visit_dtype(t.dtype(), [&](auto zero) {
    const auto* p = static_cast<const decltype(zero)*>(t.raw());
    for (Index i = 0; i < t.count(); ++i)
      check<GradError>(!std::isnan(double(p[i])), op, direction, " made a NaN, at element ", i, " of ", t.sizes());
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI
