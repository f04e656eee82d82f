// Which instruction sets the processor and the operating system offer, and which of them the kernels take.
//
// The choice is made once, at the first question: the best of what is there, or what FRAMEGRAD_CPU names.
#pragma once

#include <atomic>
#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// In order: each includes the ones before it.
enum class Isa { portable, avx2, avx512, avx512_bf16, amx };
inline constexpr int kIsas = 5;

constexpr std::string_view name_of(Isa isa) {
  constexpr std::string_view names[kIsas] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};
  return names[int(isa)];
}

namespace detail {

#if defined(__x86_64__)
/// The operating system saves these registers when it switches threads (XCR0).
inline bool system_saves(unsigned mask) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & mask) == mask;
}

/// Tiles are 8 KiB of state a thread: Linux gives them only to a process that asks.
inline bool system_grants_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM, …), since Linux 5.16
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

inline Isa best_isa() {
  unsigned a, b, c, d;
  const auto bit = [](unsigned word, int n) { return (word >> n & 1u) != 0; };
  if (!__get_cpuid(1, &a, &b, &c, &d)) return Isa::portable;
  const bool fma_xsave_avx_f16c = bit(c, 12) && bit(c, 27) && bit(c, 28) && bit(c, 29);
  if (!fma_xsave_avx_f16c || !system_saves(0x6)) return Isa::portable;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !bit(b, 5)) return Isa::portable;           // AVX2
  const bool f_dq_bw_vl = bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
  if (!f_dq_bw_vl || !system_saves(0xe6)) return Isa::avx2;
  const bool tiles = bit(d, 22) && bit(d, 24) && system_saves(0x600e6);                       // AMX-BF16, AMX-TILE
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !bit(a, 5)) return Isa::avx512;             // AVX512-BF16
  return tiles && system_grants_tiles() ? Isa::amx : Isa::avx512_bf16;
}
#else
inline Isa best_isa() { return Isa::portable; }
#endif

inline Isa machine_isa() {
  static const Isa best = best_isa();
  return best;
}

inline Isa asked_isa() {
  const char* asked = std::getenv("FRAMEGRAD_CPU");
  if (!asked || !*asked) return machine_isa();
  for (int i = 0; i < kIsas; ++i) {
    if (name_of(Isa(i)) != asked) continue;
    check<ConfigError>(Isa(i) <= machine_isa(), "FRAMEGRAD_CPU", "\"", asked, "\" is asked for, this machine has at most \"",
                       name_of(machine_isa()), "\"");
    return Isa(i);
  }
  throw ConfigError(text("FRAMEGRAD_CPU: \"", asked, "\" is asked for, it must be one of portable, avx2, avx512, avx512_bf16, amx; ",
                         "this machine has at most \"", name_of(machine_isa()), "\""));
}

inline std::atomic<Isa>& chosen_isa() {
  static std::atomic<Isa> chosen{asked_isa()};
  return chosen;
}

}  // namespace detail

inline bool supported(Isa isa) { return isa <= detail::machine_isa(); }

/// The instruction set that kernels take. Throws ConfigError if FRAMEGRAD_CPU names an unknown one or one the machine lacks.
inline Isa isa() { return detail::chosen_isa().load(std::memory_order_relaxed); }

/// For tests: takes another one, while no kernel runs.
inline void set_isa(Isa isa) {
  check<ConfigError>(supported(isa), "set_isa", "\"", name_of(isa), "\" is asked for, this machine has at most \"",
                     name_of(detail::machine_isa()), "\"");
  detail::chosen_isa().store(isa, std::memory_order_relaxed);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
