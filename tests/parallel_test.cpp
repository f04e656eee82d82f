// parallel_for: every item once, whatever the number of threads; exceptions, nesting, the same bits.
#include <gtest/gtest.h>

#include <numeric>

#include <framegrad/ops/sum.hpp>

namespace fg {
namespace {

/// Sets a number of threads, and what was set before at the end.
class Threads {
 public:
  explicit Threads(int n) : before_(threads()) { set_threads(n); }
  ~Threads() { set_threads(before_); }

 private:
  int before_;
};

constexpr double kCostly = 1e5;  // nanoseconds: every item is worth a thread

TEST(ParallelFor, VisitsEveryItemOnce) {
  for (const int n_threads : {1, 2, 3, 5}) {
    const Threads set(n_threads);
    EXPECT_EQ(threads(), n_threads);
    for (const Index n : {1, 2, 3, 7, 64, 1000})
      for (const Index grain : {1, 3, 64})
        for (const double cost : {0.1, 30.0, kCostly}) {
          std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
          parallel_for(n, cost, [&](Range r) {
            EXPECT_LT(r.begin, r.end);
            EXPECT_EQ(r.begin % grain, 0);
            EXPECT_TRUE(r.end == n || r.end % grain == 0);
            for (Index i = r.begin; i < r.end; ++i) ++seen[std::size_t(i)];
          }, grain);
          for (const auto& s : seen) ASSERT_EQ(s, 1) << n << " items, grain " << grain << ", cost " << cost << ", threads " << n_threads;
        }
  }
  parallel_for(0, 1, [](Range) { FAIL() << "called without items"; });
}

TEST(ParallelFor, UsesSeveralThreadsForMuchWorkAndNoneForLittle) {
  const Threads set(3);
  std::atomic<int> arrived{0};
  // Each of the three waits for the others: it ends only if they run at the same time.
  parallel_for(3, 1e9, [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
    }
  });
  const auto caller = std::this_thread::get_id();
  parallel_for(100, 0.1, [&](Range r) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(r.size(), 100);
  });
}

TEST(ParallelFor, ThrowsTheFirstExceptionAgainWhenAllHaveEnded) {
  const Threads set(3);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> running{0};
    try {
      parallel_for(64, kCostly, [&](Range r) {
        ++running;
        --running;
        if (r.begin <= 20 && 20 < r.end) throw ShapeError("twenty");
      });
      FAIL() << "nothing was thrown";
    } catch (const ShapeError& e) {
      EXPECT_STREQ(e.what(), "twenty");
    }
    EXPECT_EQ(running, 0);
    std::atomic<Index> sum{0};  // the pool serves on
    parallel_for(64, kCostly, [&](Range r) { sum += r.size(); });
    ASSERT_EQ(sum, 64);
  }
}

TEST(ParallelFor, RunsSerialWhenNested) {
  const Threads set(3);
  std::atomic<Index> items{0};
  parallel_for(8, kCostly, [&](Range outer) {
    const auto here = std::this_thread::get_id();
    for (Index i = outer.begin; i < outer.end; ++i)
      parallel_for(100, kCostly, [&](Range inner) {
        EXPECT_EQ(std::this_thread::get_id(), here);
        items += inner.size();
      });
  });
  EXPECT_EQ(items, 800);
}

TEST(ParallelFor, ServesSeveralThreadsOfTheUser) {
  const Threads set(2);
  std::atomic<Index> items{0};
  std::vector<std::thread> users;
  for (int u = 0; u < 3; ++u)
    users.emplace_back([&] {
      for (int round = 0; round < 50; ++round) parallel_for(32, kCostly, [&](Range r) { items += r.size(); });
    });
  for (auto& u : users) u.join();
  EXPECT_EQ(items, 3 * 50 * 32);
}

TEST(ParallelFor, RefusesToChangeItsThreadsFromWithin) {
  const Threads set(2);
  EXPECT_THROW(parallel_for(8, kCostly, [](Range) { set_threads(3); }), ConfigError);
  EXPECT_EQ(threads(), 2);
  set_threads(0);
  EXPECT_EQ(threads(), 1);
}

/// Threads of a user's: each job's tasks dealt out to threads made for it.
Executor dealing(int n, std::atomic<int>& jobs) {
  return {n, [n, &jobs](Index count, const std::function<void(Index)>& task) {
            ++jobs;
            std::vector<std::thread> all;
            for (int t = 0; t < n; ++t)
              all.emplace_back([&, t] {
                for (Index i = t; i < count; i += n) task(i);
              });
            for (auto& t : all) t.join();
          }};
}

TEST(Executor, RunsWhatThePoolWouldHave) {
  const Threads set(2);
  std::atomic<int> jobs{0};
  set_executor(dealing(3, jobs));
  EXPECT_EQ(threads(), 3);
  const auto caller = std::this_thread::get_id();
  std::vector<std::atomic<int>> seen(1000);
  const NoGrad off;
  parallel_for(1000, kCostly, [&](Range r) {
    EXPECT_NE(std::this_thread::get_id(), caller);
    EXPECT_FALSE(grad_enabled());
    EXPECT_THROW(set_threads(2), ConfigError);
    parallel_for(4, kCostly, [&](Range inner) { EXPECT_EQ(inner.size(), 4); });
    for (Index i = r.begin; i < r.end; ++i) ++seen[std::size_t(i)];
  });
  for (const auto& s : seen) EXPECT_EQ(s, 1);
  EXPECT_EQ(jobs, 1);
  try {
    parallel_for(64, kCostly, [](Range r) { if (r.begin <= 20 && 20 < r.end) throw ShapeError("twenty"); });
    FAIL() << "nothing was thrown";
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "twenty");
  }
  set_threads(2);
  parallel_for(1000, kCostly, [](Range) {});
  EXPECT_EQ(jobs, 2);
}

TEST(Executor, IsRefusedIfItCannotRunOrLosesTasks) {
  const Threads set(2);
  EXPECT_THROW(set_executor({2, nullptr}), ConfigError);
  EXPECT_THROW(set_executor({0, [](Index, const auto&) {}}), ConfigError);
  set_executor({2, [](Index count, const std::function<void(Index)>& task) {
                  for (Index i = 1; i < count; ++i) task(i);
                }});
  EXPECT_THROW(parallel_for(100, kCostly, [](Range) {}), ConfigError);
}

TEST(ParallelFor, TakesTheRandomStateAlong) {
  RandomState::instance() = {7, 3, 5};
  for (const int n : {1, 3}) {
    const Threads set(n);
    std::vector<std::uint32_t> streams(100);
    parallel_for(100, kCostly, [&](Range r) {
      EXPECT_EQ(next_draw().stream, 0x80000005u);
      for (Index i = r.begin; i < r.end; ++i) {
        const ReplayRandom item({RandomState::instance().seed, RandomState::instance().step, std::uint32_t(i)});
        const RandomDraw d = next_draw();
        EXPECT_EQ(d.seed, 7u);
        EXPECT_EQ(d.step, 3u);
        streams[std::size_t(i)] = d.stream;
      }
    });
    for (std::size_t i = 0; i < streams.size(); ++i) EXPECT_EQ(streams[i], 0x80000000u | i);
    EXPECT_EQ(RandomState::instance().draws, 5u);
  }
  RandomState::instance() = {};
}

TEST(ParallelFor, LeavesTheBitsOfASumAlone) {
  const auto x = empty<float>({300, 1000});
  for (Index i = 0; i < x.count(); ++i) x.data()[i] = std::sin(float(i)) * 1e3f;
  std::vector<float> sums;
  for (const int n : {1, 2, 3, 4}) {
    const Threads set(n);
    sums.push_back(sum(x).item());
  }
  for (const float s : sums) EXPECT_EQ(std::bit_cast<std::uint32_t>(s), std::bit_cast<std::uint32_t>(sums[0]));
}

}  // namespace
}  // namespace fg
