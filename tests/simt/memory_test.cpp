// What the GPU's runtime does on the host: pools whose memory comes again at the same addresses, the account of what is live, and copies by way of pinned buffers, here with a stream
// that runs only when somebody waits for it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "cuda/memory_pool.hpp"
#include "cuda/simt/memory.hpp"
#include "cuda/staging.hpp"

namespace {

using namespace fg;
using cuda::MemoryPool;

class Pools : public testing::Test {
 protected:
  ~Pools() override {
    pool.drop_unused([&](void* p, Index n) { given_back += n, std::free(p); });
    EXPECT_EQ(given_back, taken) << "all chunks go back";
  }
  void* take(Index bytes) {
    return pool.take(bytes, [&](Index n) {
      EXPECT_GE(n, bytes);
      taken += n;
      return std::aligned_alloc(256, std::size_t(n));
    });
  }
  void refused(Index bytes, const std::string& why) {
    try {
      take(bytes);
      ADD_FAILURE() << bytes << " bytes were given";
    } catch (const RecordingError& e) {
      EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
    }
  }
  Index taken = 0, given_back = 0;
  MemoryPool pool{0};
};

TEST_F(Pools, PiecesAreApartAndJoinAgain) {
  pool.plan();
  std::mt19937 random(1);
  std::map<char*, Index> live;
  Index most = 0, now = 0;
  for (int i = 0; i < 20000; ++i) {
    if (live.size() < 50 && random() % 2) {
      const Index bytes = random() % 4 ? Index(random() % 5000) : Index(random() % 3000000);
      char* const p = static_cast<char*>(take(bytes));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 256, 0u);
      const auto next = live.lower_bound(p);
      ASSERT_TRUE(next == live.end() || p + bytes < next->first);
      ASSERT_TRUE(next == live.begin() || std::prev(next)->first + std::prev(next)->second < p);
      live[p] = bytes, now += bytes, most = std::max(most, now);
    } else if (!live.empty()) {
      const auto victim = std::next(live.begin(), std::ptrdiff_t(random() % live.size()));
      EXPECT_TRUE(pool.give(victim->first));
      EXPECT_FALSE(pool.give(victim->first));
      now -= victim->second;
      live.erase(victim);
    }
  }
  EXPECT_LT(taken, 2 * most);
  for (const auto& [p, bytes] : live) EXPECT_TRUE(pool.give(p));
}

TEST_F(Pools, TheSameRunGetsTheSameAddresses) {
  std::vector<void*> seen[3];
  for (int run = 0; run < 3; ++run) {
    run == 0 ? pool.plan() : pool.follow();
    void* a = take(3 << 20);
    void* b = take(100);
    EXPECT_TRUE(pool.give(a));
    void* c = take(2 << 20);  // in a's place
    void* d = take(5 << 20);
    for (void* p : {b, d, c}) EXPECT_TRUE(pool.give(p));
    seen[run] = {a, b, c, d};
  }
  EXPECT_EQ(seen[0][0], seen[0][2]);
  EXPECT_EQ(seen[1], seen[0]);
  EXPECT_EQ(seen[2], seen[0]);
}

TEST_F(Pools, AnotherRunIsRefused) {
  pool.plan();
  void* a = take(1000);
  EXPECT_TRUE(pool.give(a));
  void* b = take(1000);
  EXPECT_TRUE(pool.give(b));
  pool.follow();
  refused(2000, "2000 bytes are asked for, in the run before it was 1024");
  a = take(1000);
  refused(1000, "where the run before had let go of others");
  EXPECT_TRUE(pool.give(a));
  refused(1000, "in the run before it ended here");
}

TEST_F(Pools, WhatIsInUseStaysWhenAPoolCloses) {
  pool.plan();
  void* a = take(3 << 20);
  void* b = take(3 << 20);
  EXPECT_TRUE(pool.give(b));
  const auto drop = [&](void* p, Index n) { given_back += n, std::free(p); };
  EXPECT_FALSE(pool.drop_unused(drop));
  EXPECT_EQ(given_back, taken / 2);
  EXPECT_TRUE(pool.give(a));
  EXPECT_TRUE(pool.drop_unused(drop));
}

TEST(Live, WhatIsGivenAnewReplacesWhatLayThere) {
  alignas(256) static char at[1024];
  const auto address = [](Index i) { return reinterpret_cast<std::uintptr_t>(at + i); };
  simt::Memory live;
  const auto span = [&](Index i) {
    const auto s = live.before(address(i));
    return s ? std::pair(Index(s->begin - address(0)), Index(s->end - address(0))) : std::pair(Index(-1), Index(-1));
  };
  live.add(at, 256), live.add(at + 256, 256), live.add(at + 768, 256);
  live.add(at + 128, 512);  // reaches back into the first, over the second, up to the third
  EXPECT_EQ(span(64), std::pair(Index(-1), Index(-1)));
  EXPECT_EQ(span(300), std::pair(Index(128), Index(640)));
  EXPECT_EQ(span(800), std::pair(Index(768), Index(1024)));
  live.add(at + 640, 128);  // what only touches stays
  EXPECT_EQ(span(639), std::pair(Index(128), Index(640)));
  EXPECT_EQ(span(1023), std::pair(Index(768), Index(1024)));
}

/// A stream that does nothing until an event in it is waited for.
struct LateCopies {
  struct State {
    std::deque<std::function<void()>> queue;
    Index queued = 0, done = 0;
    int pinned = 0, waits = 0;
    void run_to(Index event) {
      for (; done < event; ++done) queue.front()(), queue.pop_front();
    }
  };
  using Event = std::shared_ptr<Index>;
  std::shared_ptr<State> state = std::make_shared<State>();

  Event make_event() { return std::make_shared<Index>(0); }
  void* pin(Index bytes) { return ++state->pinned, std::malloc(std::size_t(bytes)); }
  void unpin(void* p, const Event& e) { state->run_to(*e), --state->pinned, std::free(p); }
  void mark(const Event& e) { *e = state->queued; }
  void wait(const Event& e) { ++state->waits, state->run_to(*e); }
  void up(void* to, const void* pinned, Index n) { queue([=] { std::memcpy(to, pinned, std::size_t(n)); }); }
  void down(void* pinned, const void* from, Index n) { queue([=] { std::memcpy(pinned, from, std::size_t(n)); }); }
  void queue(std::function<void()> f) { state->queue.push_back(std::move(f)), ++state->queued; }
};
using LateStaging = cuda::Staging<LateCopies>;

std::vector<std::uint32_t> noise(Index n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint32_t> v(static_cast<std::size_t>(n));
  for (auto& x : v) x = std::uint32_t(random());
  return v;
}

TEST(Staging, CopiesAnyLengthBothWays) {
  LateCopies copies;
  {
    LateStaging staging(copies);
    const Index ring = LateStaging::kBuffers * LateStaging::kBytes;
    for (const Index bytes : {Index(0), Index(4), LateStaging::kBytes - 4, LateStaging::kBytes, LateStaging::kBytes + 4, ring, 2 * ring + 12}) {
      auto host = noise(bytes / 4, unsigned(bytes));
      const auto original = host;
      std::vector<std::uint32_t> device(host.size()), back(host.size());
      staging.up(device.data(), host.data(), bytes);
      std::fill(host.begin(), host.end(), 0);  // the caller may write to it again
      staging.down(back.data(), device.data(), bytes);
      ASSERT_TRUE(back == original) << bytes;
    }
  }
  EXPECT_EQ(copies.state->pinned, 0);
}

TEST(Staging, WaitsOnlyWhenTheRingIsFull) {
  LateCopies copies;
  LateStaging staging(copies);
  const auto host = noise(1 << 18, 1);
  std::vector<std::uint32_t> device(host.size());
  for (int i = 0; i < 4000; ++i) staging.up(device.data(), host.data(), 100);  // 256 bytes each: within one buffer
  EXPECT_EQ(copies.state->pinned, 1);
  for (int i = 0; i < 12; ++i) staging.up(device.data(), host.data(), 1 << 20);
  EXPECT_EQ(copies.state->waits, 0);
  EXPECT_EQ(copies.state->done, 0);
  for (int i = 0; i < 4; ++i) staging.up(device.data(), host.data(), 1 << 20);
  EXPECT_EQ(copies.state->waits, 1);
  EXPECT_LT(copies.state->done, copies.state->queued);
  std::vector<std::uint32_t> back(host.size());
  staging.down(back.data(), device.data(), 1 << 20);
  EXPECT_TRUE(back == host);
}

}  // namespace
