// The caching allocator: reuse, limit, trim, and what it says when there is no more.
#include <gtest/gtest.h>

#include <thread>

#include <framegrad/core/tensor.hpp>

namespace fg {
namespace {

Allocator& memory() { return Allocator::instance(); }

/// Whether freed blocks are kept: not under AddressSanitizer, nor with FRAMEGRAD_ALLOCATOR=system.
bool caches() {
  memory().trim();
  memory().release(memory().allocate(64), 64);
  return memory().use().cached_bytes > 0;
}

TEST(Allocator, HandsOutAFreedBlockAgain) {
  if (!caches()) GTEST_SKIP() << "the allocator's cache is off";
  memory().trim();
  const void* first = nullptr;
  {
    const auto x = empty<float>({1000, 1000});
    first = x.data();
  }
  EXPECT_GE(memory().use().cached_bytes, 4000000);
  const auto y = empty<float>({1000, 900});  // any size that fits
  EXPECT_EQ(y.data(), first);
  EXPECT_LT(memory().use().cached_bytes, 4000000 - 3600000 + 4096);
}

TEST(Allocator, ServesALargeBlockFromSeveralFreed) {
  if (!caches()) GTEST_SKIP() << "the allocator's cache is off";
  memory().trim();
  {
    std::vector<Tensor<float, 1>> parts;
    for (int i = 0; i < 8; ++i) parts.push_back(empty<float>({1 << 18}));  // 1 MiB
  }
  EXPECT_EQ(memory().use().cached_bytes, 8 << 20);
  const auto whole = empty<float>({1 << 21});
  EXPECT_EQ(memory().use().cached_bytes, 0);
}

TEST(Allocator, CountsWhatLives) {
  const Index before = memory().use().used_bytes;
  memory().reset_peak();
  {
    const auto x = empty<double>({1024, 1024});
    EXPECT_EQ(memory().use().used_bytes, before + (8 << 20));
    { const auto y = empty<double>({1024, 1024}); }
    const auto view = x.slice(0, 0, 3);
    EXPECT_EQ(memory().use().used_bytes, before + (8 << 20));
  }
  EXPECT_EQ(memory().use().used_bytes, before);
  EXPECT_EQ(memory().use().peak_bytes, before + (16 << 20));
}

TEST(Allocator, AlignsEverySize) {
  for (const Index bytes : {0, 1, 63, 64, 65, 1000, 5000, 100000, 5000000, 20000001}) {
    void* p = memory().allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u) << bytes;
    std::memset(p, 1, std::size_t(bytes));
    memory().release(p, bytes);
  }
}

TEST(Allocator, TrimGivesCachedBlocksBack) {
  { const auto x = empty<float>({1000000}); }
  memory().trim();
  EXPECT_EQ(memory().use().cached_bytes, 0);
}

TEST(Allocator, KeepsToItsLimit) {
  memory().trim();
  const Index used = memory().use().used_bytes;
  memory().limit(used + (10 << 20));
  {
    const auto x = empty<float>({1 << 20});  // 4 MiB
    try {
      const auto y = empty<float>({2 << 20});
      ADD_FAILURE() << "8 MiB more were given";
    } catch (const OutOfMemory& e) {
      EXPECT_EQ(std::string(e.what()), text("allocate: ", 8 << 20, " bytes asked, ", used + (4 << 20), " in use, limit ", used + (10 << 20),
                                            "; a smaller batch or checkpointing needs less"));
    }
    EXPECT_EQ(memory().use().used_bytes, used + (4 << 20));
  }
  // What is cached gives way: 4 MiB kept, 8 asked for, 10 allowed.
  { const auto y = empty<float>({2 << 20}); }
  EXPECT_LE(memory().use().used_bytes + memory().use().cached_bytes, used + (10 << 20));
  memory().limit(0);
  const auto z = empty<float>({4 << 20});
  EXPECT_EQ(memory().use().used_bytes, used + (16 << 20));
}

TEST(Allocator, ThrowsWhatNoSystemHas) {
  EXPECT_THROW(memory().allocate(Index(1) << 60), OutOfMemory);
  const auto x = empty<float>({3});  // and goes on
  EXPECT_NE(x.data(), nullptr);
}

TEST(Allocator, ServesSeveralThreads) {
  const Index before = memory().use().used_bytes;
  std::vector<std::thread> users;
  for (int u = 0; u < 4; ++u)
    users.emplace_back([u] {
      for (Index i = 0; i < 500; ++i) {
        const auto x = full<float>({1 + i % 7, 100}, float(u));
        for (Index k = 0; k < x.count(); ++k) ASSERT_EQ(x.data()[k], float(u));
      }
    });
  for (auto& u : users) u.join();
  EXPECT_EQ(memory().use().used_bytes, before);
}

}  // namespace
}  // namespace fg
