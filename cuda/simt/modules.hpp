// Where the loaded program's variables lie: what is thread-local (a kernel's static shared memory) and what is global.
#pragma once

#include <link.h>

#include <cstdint>
#include <vector>

#include <cuda/simt/memory.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

struct Modules {
  std::vector<Memory::Span> segments;  // of all modules: code, constants, variables
  Memory::Span statics{0, 0};          // this host thread's thread-local variables of the kernel's module

  static Modules around(const void* kernel) {
    struct Search {
      std::uintptr_t kernel;
      Modules found;
    } search{reinterpret_cast<std::uintptr_t>(kernel), {}};
    ::dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* context) {
      auto& s = *static_cast<Search*>(context);
      bool holds_kernel = false;
      std::size_t thread_local_bytes = 0;
      for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& h = info->dlpi_phdr[i];
        const std::uintptr_t low = info->dlpi_addr + h.p_vaddr;
        if (h.p_type == PT_TLS) thread_local_bytes = h.p_memsz;
        if (h.p_type != PT_LOAD) continue;
        s.found.segments.push_back({low, low + h.p_memsz});
        holds_kernel = holds_kernel || s.found.segments.back().holds(s.kernel, 1);
      }
      if (holds_kernel && info->dlpi_tls_data) {
        const auto p = reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data);
        s.found.statics = {p, p + thread_local_bytes};
      }
      return 0;
    }, &search);
    return search.found;
  }

  bool is_variable(std::uintptr_t p, std::size_t bytes) const {
    for (const auto& s : segments) {
      if (s.holds(p, bytes)) return true;
    }
    return false;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::simt
