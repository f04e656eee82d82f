// The arena: pieces join, the tightest is taken, the stretch is no longer than it has to be, and what is free goes back to the system.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include <framegrad/core/arena.hpp>

namespace fg {
namespace {

constexpr Index kPage = Arena::kGrain;

char* take(Arena& a, Index pages) { return static_cast<char*>(a.allocate(pages * kPage)); }

TEST(Arena, TakesTheTightestPieceAndItsFront) {
  Arena a;
  char* const wide = take(a, 9);
  char* const wall = take(a, 1);
  char* const tight = take(a, 4);
  char* const last = take(a, 1);
  EXPECT_EQ(wall, wide + 9 * kPage);
  EXPECT_EQ(tight, wall + kPage);
  a.release(wide, 9 * kPage), a.release(tight, 4 * kPage);
  EXPECT_EQ(a.kept(), 13 * kPage);
  EXPECT_EQ(a.growth(9 * kPage), 0);
  EXPECT_EQ(a.growth(10 * kPage), 10 * kPage);
  EXPECT_EQ(take(a, 3), tight);
  EXPECT_EQ(take(a, 2), wide);
  EXPECT_EQ(take(a, 1), tight + 3 * kPage);
  EXPECT_EQ(a.kept(), 7 * kPage);
  a.release(wide, 2 * kPage), a.release(tight, 4 * kPage), a.release(wall, kPage), a.release(last, kPage);
}

TEST(Arena, JoinsNeighboursAndLengthensTheFreeEnd) {
  Arena a;
  char* p[5];
  for (char*& block : p) block = take(a, 2);
  a.release(p[0], 2 * kPage), a.release(p[2], 2 * kPage), a.release(p[1], 2 * kPage);
  EXPECT_EQ(take(a, 6), p[0]);  // three pieces that became one
  a.release(p[4], 2 * kPage);
  EXPECT_EQ(a.growth(5 * kPage), 3 * kPage);
  EXPECT_EQ(take(a, 5), p[4]);  // what lay free at the end, and three pages more
  EXPECT_EQ(a.kept(), 0);
  a.release(p[4], 5 * kPage), a.release(p[3], 2 * kPage), a.release(p[0], 6 * kPage);
  EXPECT_EQ(a.kept(), 13 * kPage);
  EXPECT_EQ(take(a, 13), p[0]);
  a.release(p[0], 13 * kPage);
}

/// Blocks of all sizes come and go; each keeps its numbers to the end, also over trims.
TEST(Arena, BlocksNeverOverlap) {
  Arena a;
  std::mt19937 random(1);
  std::map<char*, std::pair<Index, int>> live;
  Index used = 0;
  for (int i = 0; i < 4000; ++i) {
    if (i % 1000 == 999) {
      a.trim();
      EXPECT_EQ(a.kept(), 0);
    }
    if (live.size() < 40 || random() % 2) {
      const Index pages = 1 + Index(random() % (random() % 8 ? 20 : 700));
      char* const p = take(a, pages);
      ASSERT_NE(p, nullptr);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % std::uintptr_t(kPage), 0u);
      std::memset(p, i % 127, std::size_t(pages * kPage));
      ASSERT_TRUE(live.emplace(p, std::pair(pages, i % 127)).second);
      used += pages;
    } else {
      auto block = live.begin();
      std::advance(block, random() % live.size());
      const auto [p, what] = *block;
      const auto [pages, value] = what;
      ASSERT_TRUE(p[0] == value && std::memcmp(p, p + 1, std::size_t(pages * kPage - 1)) == 0) << i;
      a.release(p, pages * kPage);
      used -= pages;
      live.erase(block);
    }
  }
  const char* behind = nullptr;
  for (const auto& [p, what] : live) {
    EXPECT_GE(p, behind);
    behind = p + what.first * kPage;
  }
  const Index kept = a.kept();
  for (const auto& [p, what] : live) a.release(p, what.first * kPage);
  EXPECT_EQ(a.kept(), kept + used * kPage);
}

TEST(Arena, GoesOnElsewhereWhereSomebodyElsesMemoryLiesBehind) {
  Arena a;
  constexpr Index kHuge = Index(2) << 20, kPages = kHuge / kPage;
  char* const first = take(a, 1);
  char* const freed = take(a, 3);
  void* const foreign = ::mmap(first + kHuge, std::size_t(kPage), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(foreign, first + kHuge);
  a.release(freed, 3 * kPage);
  char* const large = take(a, kPages);
  ASSERT_TRUE(large >= first + kHuge + kPage || large + kHuge <= first);
  std::memset(large, 1, std::size_t(kHuge));
  EXPECT_EQ(a.kept(), 3 * kPage);
  EXPECT_EQ(take(a, 3), freed);  // what lay free at the first end is a piece as others
  a.release(freed, 3 * kPage), a.release(first, kPage), a.release(large, kHuge);
  EXPECT_EQ(a.kept(), kHuge + 4 * kPage);
  ::munmap(foreign, std::size_t(kPage));
}

TEST(Arena, IsNullWhereTheSystemHasNoMore) {
  Arena a;
  EXPECT_EQ(a.allocate(Index(1) << 60), nullptr);
  char* const p = take(a, 1);  // and goes on
  ASSERT_NE(p, nullptr);
  a.release(p, kPage);
}

}  // namespace
}  // namespace fg
