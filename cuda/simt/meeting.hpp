// Where threads of a block meet: a warp's collectives, the block's barrier, and what is said when someone waits in vain.
#pragma once

#include <cuda/simt/block.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline void Block::collective(const Collective& kind, unsigned mask, void* operand, Where where) {
  Thread& t = *current.thread;
  Warp& w = *t.warp;
  const unsigned bit = 1u << t.lane;
  const auto here = [&] { return text(kind.name, " with mask ", mask_text(mask), " at ", place_text(where), ": "); };
  if (!(mask & bit)) fail_with([&] { return here() + "the calling lane is not in its mask"; });
  if (mask & ~w.alive) fail_with([&] { return text(here(), lanes_text(mask & ~w.alive), " of the mask returned or never existed"); });
  int i = 0;
  while (i < w.pending && w.slots[i].mask != mask) ++i;
  Warp::Slot& s = w.slots[i];
  if (i == w.pending) {
    s = {mask, 0, &kind, where};
    ++w.pending;
  } else if (s.kind != &kind) {
    fail_with([&] { return text(here(), lanes_text(s.arrived), " of the mask came to ", s.kind->name, " at ", place_text(s.where), " instead"); });
  }
  t.operand = operand;
  s.arrived |= bit;
  if (s.arrived != mask) return suspend(t, Wait::collective, kind.name, mask, where);

  w.slots[i] = w.slots[--w.pending];
  current.quiet = true;
  Thread* lanes = &t - t.lane;
  kind.complete(lanes, mask);
  current.quiet = false;
  for (unsigned others = mask & ~bit; others;) {  // from the highest lane down: the lowest goes on first
    const int lane = 31 - __builtin_clz(others);
    ready_.push_front(&lanes[lane]);
    others &= ~(1u << lane);
  }
}

inline Tally Block::barrier(const char* name, bool predicate, Where where) {
  Thread& t = *current.thread;
  const bool same = where.line == barrier_.where.line && std::strcmp(where.file, barrier_.where.file) == 0;
  if (barrier_.waiting == 0) {
    barrier_.where = where;
    barrier_.count = 0;
  } else if (!same) {
    fail_with([&] { return text(name, " at ", place_text(where), ": ", barrier_.waiting, " threads of the block wait at another barrier, at ", place_text(barrier_.where)); });
  }
  barrier_.count += predicate;
  if (++barrier_.waiting < alive_) {
    suspend(t, Wait::barrier, name, 0, where);
    return {t.result, t.participants};
  }
  const Tally tally{barrier_.count, int(barrier_.waiting)};
  release_barrier(&t);
  return tally;
}

inline void Block::release_barrier(const Thread* last) {
  const int count = barrier_.count, participants = int(barrier_.waiting);
  if (observer) observer->barrier_opens();
  barrier_.waiting = 0;
  for (unsigned i = 0; i < count_; ++i) {
    Thread& t = threads_[i];
    if (t.wait != Wait::barrier || &t == last) continue;
    t.result = count;
    t.participants = participants;
    ready_.push_back(&t);
  }
}

// Nobody can go on: says who waits for what.
inline std::string Block::deadlock() const {
  std::string s = "deadlock, nobody can go on:";
  for (unsigned i = 0; i < count_;) {
    const Thread& a = threads_[i];
    unsigned end = i + 1;
    while (end < count_ && threads_[end].wait == a.wait && (a.wait == Wait::done || (threads_[end].where.line == a.where.line && threads_[end].mask == a.mask && threads_[end].warp == a.warp))) ++end;
    s += text("\n    threads ", i, end - i > 1 ? text("-", end - 1) : std::string());
    if (a.wait == Wait::done) {
      s += " returned";
    } else {
      s += text(" wait in ", a.waits_in, " at ", place_text(a.where));
      if (a.wait == Wait::collective) {
        unsigned here = 0;
        for (int k = 0; k < a.warp->pending; ++k) here |= a.warp->slots[k].mask == a.mask ? a.warp->slots[k].arrived : 0;
        s += text(" for ", lanes_text(a.mask & ~here), " of mask ", mask_text(a.mask));
      }
    }
    i = end;
  }
  return s;
}

inline unsigned alive_lanes() { return current.thread->warp->alive; }
inline void lanes_met(Thread* lanes, unsigned mask) {
  if (observer) observer->lanes_meet(lanes, mask);
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
