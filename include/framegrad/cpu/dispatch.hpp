// dispatch — the one point where a kernel meets an instruction set.
//
// A kernel is a struct with `template <int B> FRAMEGRAD_INLINE static void run(args…)`, written over vectors of B bytes.
// The three functions below differ in their target alone; whatever is inlined into them is compiled for it, and
// whatever is not (a lambda without FRAMEGRAD_LAMBDA, a std::function, a parallel_for) silently is not.
// So: parallel_for outside, dispatch inside.
#pragma once

#include <framegrad/cpu/features.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

#if defined(__x86_64__)
template <class K, class... A>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]] void run64(const A&... a) { K::template run<64>(a...); }

template <class K, class... A>
[[gnu::target("avx2,fma")]] void run32(const A&... a) { K::template run<32>(a...); }
#endif

template <class K, class... A>
void run16(const A&... a) { K::template run<16>(a...); }

/// K::run<B>(a…) with the widest B that isa() has.
template <class K, class... A>
void dispatch(const A&... a) {
#if defined(__x86_64__)
  const Isa path = isa();
  if (path >= Isa::avx512) return run64<K>(a...);
  if (path >= Isa::avx2) return run32<K>(a...);
#endif
  run16<K>(a...);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
