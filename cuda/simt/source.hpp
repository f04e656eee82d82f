// From an address in the program to function, file and line, and other text of reports. binutils' addr2line does the work,
// when something is reported and never before; a build without -g gets the function's name alone.
#pragma once

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <cuda/simt/engine.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline std::string index_text(uint3 i) { return text("(", i.x, ",", i.y, ",", i.z, ")"); }

inline std::string mask_text(unsigned mask) {
  char s[16];
  std::snprintf(s, sizeof s, "0x%08x", mask);
  return s;
}

inline std::string address_text(std::uintptr_t p) {
  char s[24];
  std::snprintf(s, sizeof s, "0x%zx", std::size_t(p));
  return s;
}

/// "lane 3", "lanes 0-15,17"
inline std::string lanes_text(unsigned lanes) {
  std::string s = __builtin_popcount(lanes) == 1 ? "lane " : "lanes ";
  const char* comma = "";
  for (int i = 0; i < kWarp; ++i) {
    if (!(lanes >> i & 1)) continue;
    int end = i;
    while (end + 1 < kWarp && (lanes >> (end + 1) & 1)) ++end;
    s += text(comma, i);
    if (end > i) s += text("-", end);
    comma = ",";
    i = end;
  }
  return s;
}

/// "cuda/softmax.cuh:41"
inline std::string place_text(const Where& where) { return text(where.file, ":", where.line); }

struct Frame {
  std::string function, place;  // place: file:line, or ??:0
};

namespace detail {
struct Module {
  std::string path;
  std::uintptr_t address;  // of the address asked for, within the file
};

inline Module module_of(const void* pc) {
  struct Search { std::uintptr_t pc; Module found; } search{reinterpret_cast<std::uintptr_t>(pc), {}};
  ::dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* context) {
    auto& s = *static_cast<Search*>(context);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& h = info->dlpi_phdr[i];
      const std::uintptr_t low = info->dlpi_addr + h.p_vaddr;
      if (h.p_type != PT_LOAD || s.pc < low || s.pc >= low + h.p_memsz) continue;
      s.found = {info->dlpi_name ? info->dlpi_name : "", s.pc - info->dlpi_addr};
      return 1;
    }
    return 0;
  }, &search);
  if (search.found.path.empty()) {
    char path[4096];
    const auto n = ::readlink("/proc/self/exe", path, sizeof path - 1);
    search.found.path.assign(path, n > 0 ? std::size_t(n) : 0);
  }
  return search.found;
}
}  // namespace detail

/// For each address the functions that it stands in, the innermost inlined one first. What was looked up is remembered.
inline std::vector<std::vector<Frame>> frames_of(const std::vector<const void*>& pcs) {
  static std::mutex mutex;
  static std::map<const void*, std::vector<Frame>> known;
  const std::lock_guard lock(mutex);
  std::map<std::string, std::vector<std::pair<std::uintptr_t, const void*>>> asked;  // by module: addr2line reads a file once
  for (const void* pc : pcs) {
    if (known.contains(pc)) continue;
    const detail::Module m = detail::module_of(pc);
    known[pc] = {};
    if (!m.path.empty() && m.path.find('\'') == std::string::npos) asked[m.path].emplace_back(m.address, pc);
  }
  for (const auto& [path, addresses] : asked) {
    std::string command = text("addr2line -Cfai -e '", path, "'");
    for (const auto& [address, pc] : addresses) command += text(" ", address_text(address));
    std::FILE* out = ::popen((command + " 2>/dev/null").c_str(), "r");
    if (!out) continue;
    std::size_t next = 0;
    std::vector<Frame>* frames = nullptr;
    std::string line, function;
    for (int c; (c = std::fgetc(out)) != EOF;) {
      if (c != '\n') {
        line += char(c);
        continue;
      }
      if (line.compare(0, 2, "0x") == 0 && next < addresses.size()) {
        frames = &known[addresses[next++].second];
      } else if (function.empty()) {
        function = line;
      } else if (frames) {
        frames->push_back({function, line.substr(0, line.find(" (discriminator"))});
        function.clear();
      }
      line.clear();
    }
    ::pclose(out);
  }
  std::vector<std::vector<Frame>> result;
  for (const void* pc : pcs) result.push_back(known[pc]);
  return result;
}
inline std::vector<Frame> frames_of(const void* pc) { return frames_of(std::vector<const void*>{pc})[0]; }

/// The name of the function at an address, without its parameters.
inline std::string function_name(const void* function) {
  const auto frames = frames_of(function);
  if (frames.empty()) return "(unknown)";
  const std::string& name = frames.back().function;
  int angles = 0;  // the parameters' parenthesis is the first one that is not inside template arguments
  for (std::size_t i = 0; i < name.size(); ++i) {
    angles += name[i] == '<';
    angles -= name[i] == '>';
    if (name[i] == '(' && angles == 0 && name.compare(i, 11, "(anonymous ") != 0) return name.substr(0, i);
  }
  return name;
}

namespace detail {
inline bool is_machinery(const Frame& f) {
  return f.place.find("/cuda/simt/") != std::string::npos || f.place.find("/cuda/launch.cuh") != std::string::npos || f.place.find("/include/c++/") != std::string::npos;
}
}  // namespace detail

/// "\n    at file:line in function", a line for each function that the calls before these return addresses stand in.
inline std::string place_lines(std::vector<const void*> return_addresses) {
  for (const void*& p : return_addresses) p = static_cast<const char*>(p) - 1;
  std::string s;
  for (const auto& frames : frames_of(return_addresses)) {
    for (const Frame& f : frames) {
      if (!detail::is_machinery(f)) s += text("\n    at ", f.place, " in ", f.function);
    }
  }
  return s;
}
inline std::string place_lines(const void* return_address) { return place_lines(std::vector<const void*>{return_address}); }

/// "file:line" of the kernel, or device function, that has the call before `return_address`: wrappers of instructions are looked through.
inline std::string kernel_line(const void* return_address) {
  for (const Frame& f : frames_of(static_cast<const char*>(return_address) - 1)) {
    if (!detail::is_machinery(f) && f.place.find("/cuda/ptx.cuh") == std::string::npos) return f.place;
  }
  return "??:0";
}

/// A variable of static shared memory, by its offset in the module's thread-local storage: "kernel(int)::tile + 12".
inline std::string static_shared_name(const void* kernel, std::size_t offset) {
  const detail::Module m = detail::module_of(kernel);
  std::string found = text("static shared memory + ", offset);
  if (m.path.empty() || m.path.find('\'') != std::string::npos) return found;
  std::FILE* out = ::popen(text("readelf -sWC '", m.path, "' 2>/dev/null").c_str(), "r");
  if (!out) return found;
  char line[4096];
  while (std::fgets(line, sizeof line, out)) {
    unsigned long long value = 0, size = 0;
    char type[16] = "";
    int name = 0;
    if (std::sscanf(line, " %*d: %llx %llu %15s %*s %*s %*s %n", &value, &size, type, &name) < 3 || name == 0 || std::strcmp(type, "TLS") != 0) continue;
    if (offset < value || offset >= value + size) continue;
    found = text(std::string(line + name, std::strcspn(line + name, "\n")), " + ", offset - value);
  }
  ::pclose(out);
  return found;
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
