// What the commands share in speaking to a person: progress lines, units, and Ctrl-C.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <framegrad/io/contact_sheet.hpp>
#include <framegrad/io/gif.hpp>

namespace cli {

using fg::Index;

/// "1 h 04 min", "3 min 20 s", "7 s"
inline std::string duration(double seconds) {
  char s[64];
  const long n = long(seconds + 0.5);
  if (n >= 3600) std::snprintf(s, sizeof s, "%ld h %02ld min", n / 3600, n / 60 % 60);
  else if (n >= 60) std::snprintf(s, sizeof s, "%ld min %02ld s", n / 60, n % 60);
  else std::snprintf(s, sizeof s, "%ld s", n);
  return s;
}

/// "1.3 GB", "640 MB"
inline std::string size_text(double bytes) {
  char s[64];
  if (bytes >= 1e9) std::snprintf(s, sizeof s, "%.2f GB", bytes / 1e9);
  else if (bytes >= 1e6) std::snprintf(s, sizeof s, "%.0f MB", bytes / 1e6);
  else std::snprintf(s, sizeof s, "%.0f kB", bytes / 1e3);
  return s;
}

inline double peak_memory_bytes() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return double(use.ru_maxrss) * 1024;
}

inline double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Set by Ctrl-C (or a polite kill); a second one ends the program at once.
inline volatile std::sig_atomic_t interrupted = 0;
inline void catch_interrupts() {
  const auto handler = [](int signal) {
    if (interrupted) std::_Exit(128 + signal);
    interrupted = 1;
  };
  std::signal(SIGINT, handler);
  std::signal(SIGTERM, handler);
}

/// One line that is written over on a terminal, and written now and then elsewhere.
class Progress {
 public:
  explicit Progress(double every_s = 30) : terminal_(isatty(fileno(stderr))), every_s_(terminal_ ? 0.2 : every_s) {}
  bool due() const { return now_s() - last_ >= every_s_; }
  void show(const std::string& line) {
    last_ = now_s();
    std::fprintf(stderr, terminal_ ? "\r\033[K%s" : "%s\n", line.c_str());
    std::fflush(stderr);
  }
  void end() const {
    if (terminal_) std::fputc('\n', stderr);
  }

 private:
  bool terminal_;
  double every_s_, last_ = 0;
};

/// Where the released weights are: FRAMEGRAD_ASSETS, or the assets folder beside which this program was built.
inline std::string assets_folder() {
  if (const char* s = std::getenv("FRAMEGRAD_ASSETS")) return s;
  return FRAMEGRAD_SOURCE_DIR "/assets";
}

/// A safe file name from a prompt: words joined by _, at most 60 letters.
inline std::string file_stem(const std::string& prompt) {
  std::string s;
  for (const char c : prompt) s += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return s.substr(0, 60);
}

}  // namespace cli
