// Barriers, shuffles, votes and reductions of CUDA C++. Each waits for exactly the lanes of its mask; a lane that returned,
// or waits elsewhere for ever, is reported.
#pragma once

#include <concepts>
#include <type_traits>

#include <cuda/simt/engine.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

template <class T>
concept Shuffled = std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8);

template <class T>
struct Exchange {
  T value;     // in: the lane's own, out: the source's
  int source;  // the lane to read, −1: one's own
};

template <class T>
T& operand_of(Thread* lanes, int lane) { return *static_cast<T*>(lanes[lane].operand); }

template <class F>
void for_lanes(unsigned mask, F&& f) {
  for (; mask; mask &= mask - 1) f(__builtin_ctz(mask));
}

template <class T>
void exchange(Thread* lanes, unsigned mask) {
  T values[kWarp];
  for_lanes(mask, [&](int i) { values[i] = operand_of<Exchange<T>>(lanes, i).value; });
  for_lanes(mask, [&](int i) {
    auto& x = operand_of<Exchange<T>>(lanes, i);
    if (x.source < 0) return;
    if (!(mask >> x.source & 1)) fail("__shfl: lane " + std::to_string(i) + " reads lane " + std::to_string(x.source) + ", which is not in the mask: undefined");
    x.value = values[x.source];
  });
}

template <class T> inline constexpr Collective shuffle_idx{"__shfl_sync", exchange<T>};
template <class T> inline constexpr Collective shuffle_up{"__shfl_up_sync", exchange<T>};
template <class T> inline constexpr Collective shuffle_down{"__shfl_down_sync", exchange<T>};
template <class T> inline constexpr Collective shuffle_xor{"__shfl_xor_sync", exchange<T>};

template <class T>
T shuffle(const Collective& kind, unsigned mask, T value, int source, Where where) {
  Exchange<T> x{value, source};
  collective(kind, mask, &x, where);
  return x.value;
}
inline int own_lane() { return int(current.lane); }

// out: every lane's operand becomes `f` over all of the mask's
template <class T, class F>
void fold(Thread* lanes, unsigned mask, F f) {
  T sum{};
  bool first = true;
  for_lanes(mask, [&](int i) {
    const T v = operand_of<T>(lanes, i);
    sum = first ? v : f(sum, v);
    first = false;
  });
  for_lanes(mask, [&](int i) { operand_of<T>(lanes, i) = sum; });
}

struct Ballot { unsigned bits; };  // in: 0 or 1
inline void ballot(Thread* lanes, unsigned mask) {
  unsigned bits = 0;
  for_lanes(mask, [&](int i) { bits |= operand_of<Ballot>(lanes, i).bits << i; });
  for_lanes(mask, [&](int i) { operand_of<Ballot>(lanes, i).bits = bits; });
}
template <class T>
struct Match { T value; unsigned mask; };
template <class T>
void match(Thread* lanes, unsigned mask) {
  for_lanes(mask, [&](int i) {
    auto& m = operand_of<Match<T>>(lanes, i);
    m.mask = 0;
    for_lanes(mask, [&](int j) { m.mask |= unsigned(operand_of<Match<T>>(lanes, j).value == m.value) << j; });
  });
}

void lanes_met(Thread* lanes, unsigned mask);

inline constexpr Collective vote_ballot{"__ballot_sync", ballot}, vote_any{"__any_sync", ballot}, vote_all{"__all_sync", ballot};
inline constexpr Collective sync_warp{"__syncwarp", lanes_met};
template <class T> inline constexpr Collective match_any{"__match_any_sync", match<T>};
template <class T> inline constexpr Collective reduce_add{"__reduce_add_sync", [](Thread* l, unsigned m) { fold<T>(l, m, [](T a, T b) { return T(unsigned(a) + unsigned(b)); }); }};
template <class T> inline constexpr Collective reduce_min{"__reduce_min_sync", [](Thread* l, unsigned m) { fold<T>(l, m, [](T a, T b) { return b < a ? b : a; }); }};
template <class T> inline constexpr Collective reduce_max{"__reduce_max_sync", [](Thread* l, unsigned m) { fold<T>(l, m, [](T a, T b) { return a < b ? b : a; }); }};
inline constexpr Collective reduce_and{"__reduce_and_sync", [](Thread* l, unsigned m) { fold<unsigned>(l, m, [](unsigned a, unsigned b) { return a & b; }); }};
inline constexpr Collective reduce_or{"__reduce_or_sync", [](Thread* l, unsigned m) { fold<unsigned>(l, m, [](unsigned a, unsigned b) { return a | b; }); }};
inline constexpr Collective reduce_xor{"__reduce_xor_sync", [](Thread* l, unsigned m) { fold<unsigned>(l, m, [](unsigned a, unsigned b) { return a ^ b; }); }};

template <class T>
T together(const Collective& kind, unsigned mask, T value, Where where) {
  collective(kind, mask, &value, where);
  return value;
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt

using SimtWhere = fg::simt::Where;

inline void __syncthreads(SimtWhere w = SimtWhere::here()) { fg::simt::barrier("__syncthreads", false, w); }
inline int __syncthreads_count(int predicate, SimtWhere w = SimtWhere::here()) { return fg::simt::barrier("__syncthreads_count", predicate, w).count; }
inline int __syncthreads_or(int predicate, SimtWhere w = SimtWhere::here()) { return fg::simt::barrier("__syncthreads_or", predicate, w).count != 0; }
inline int __syncthreads_and(int predicate, SimtWhere w = SimtWhere::here()) {
  const auto t = fg::simt::barrier("__syncthreads_and", predicate, w);
  return t.count == t.participants;
}

inline void __syncwarp(unsigned mask = ~0u, SimtWhere w = SimtWhere::here()) { fg::simt::collective(fg::simt::sync_warp, mask, nullptr, w); }
inline unsigned __activemask() { return fg::simt::alive_lanes(); }
inline unsigned __lanemask_lt() { return (1u << fg::simt::own_lane()) - 1; }

// `width` cuts the warp into sections of so many lanes (a power of two); a source outside of the section is the lane itself.
template <fg::simt::Shuffled T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SimtWhere w = SimtWhere::here()) {
  const int lane = fg::simt::own_lane();
  return fg::simt::shuffle(fg::simt::shuffle_idx<T>, mask, value, (lane & ~(width - 1)) + (source & (width - 1)), w);
}
template <fg::simt::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SimtWhere w = SimtWhere::here()) {
  const int lane = fg::simt::own_lane();
  return fg::simt::shuffle(fg::simt::shuffle_up<T>, mask, value, unsigned(lane & (width - 1)) < delta ? -1 : lane - int(delta), w);
}
template <fg::simt::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SimtWhere w = SimtWhere::here()) {
  const int lane = fg::simt::own_lane();
  return fg::simt::shuffle(fg::simt::shuffle_down<T>, mask, value, unsigned(lane & (width - 1)) + delta >= unsigned(width) ? -1 : lane + int(delta), w);
}
template <fg::simt::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SimtWhere w = SimtWhere::here()) {
  const int lane = fg::simt::own_lane(), source = lane ^ lanes;
  // A section further up is out of reach, one further down is not: PTX ISA, shfl.sync.bfly.
  return fg::simt::shuffle(fg::simt::shuffle_xor<T>, mask, value, source > (lane | (width - 1)) ? -1 : source, w);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SimtWhere w = SimtWhere::here()) {
  return fg::simt::together(fg::simt::vote_ballot, mask, fg::simt::Ballot{predicate != 0}, w).bits;
}
inline int __any_sync(unsigned mask, int predicate, SimtWhere w = SimtWhere::here()) {
  return fg::simt::together(fg::simt::vote_any, mask, fg::simt::Ballot{predicate != 0}, w).bits != 0;
}
inline int __all_sync(unsigned mask, int predicate, SimtWhere w = SimtWhere::here()) {
  return fg::simt::together(fg::simt::vote_all, mask, fg::simt::Ballot{predicate != 0}, w).bits == mask;
}
template <fg::simt::Shuffled T>
unsigned __match_any_sync(unsigned mask, T value, SimtWhere w = SimtWhere::here()) {
  return fg::simt::together(fg::simt::match_any<T>, mask, fg::simt::Match<T>{value, 0}, w).mask;
}

template <class T> concept SimtReduced = std::same_as<T, int> || std::same_as<T, unsigned>;
template <SimtReduced T> T __reduce_add_sync(unsigned mask, T v, SimtWhere w = SimtWhere::here()) { return fg::simt::together(fg::simt::reduce_add<T>, mask, v, w); }
template <SimtReduced T> T __reduce_min_sync(unsigned mask, T v, SimtWhere w = SimtWhere::here()) { return fg::simt::together(fg::simt::reduce_min<T>, mask, v, w); }
template <SimtReduced T> T __reduce_max_sync(unsigned mask, T v, SimtWhere w = SimtWhere::here()) { return fg::simt::together(fg::simt::reduce_max<T>, mask, v, w); }
inline unsigned __reduce_and_sync(unsigned mask, unsigned v, SimtWhere w = SimtWhere::here()) { return fg::simt::together(fg::simt::reduce_and, mask, v, w); }
inline unsigned __reduce_or_sync(unsigned mask, unsigned v, SimtWhere w = SimtWhere::here()) { return fg::simt::together(fg::simt::reduce_or, mask, v, w); }
inline unsigned __reduce_xor_sync(unsigned mask, unsigned v, SimtWhere w = SimtWhere::here()) { return fg::simt::together(fg::simt::reduce_xor, mask, v, w); }

inline void __nanosleep(unsigned) { fg::simt::yield(); }
