#include "trainer/memory_gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/memory.h"

namespace cloister::trainer {
namespace {

// How many passes of 100 tokens, each of which takes 1000 bytes, run at once on eight threads.
int MostAtOnce(std::optional<std::int64_t> available, std::optional<std::int64_t> measured) {
  MemoryGate gate(
      {.available = [=] { return available; }, .begin = [] {}, .end = [=] { return measured; }});
  std::atomic<int> running = 0, most = 0, before_measured = 0, done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 4; ++round) {
        const MemoryGatePass pass(gate, 100);
        const int now = ++running;
        if (done == 0) before_measured = std::max(before_measured.load(), now);
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        --running;
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(before_measured, 1) << "the first pass is measured alone";
  EXPECT_EQ(done, 32);
  return most;
}

TEST(MemoryGate, LetsInWhatTheMemoryHolds) {
  // A pass is expected to take 1500.
  EXPECT_EQ(MostAtOnce(3200, 1000), 2);
  EXPECT_EQ(MostAtOnce(4600, 1000), 3);
  // One runs even where there is no room.
  EXPECT_EQ(MostAtOnce(10, 1000), 1);
  // Without a limit as many as there are threads.
  EXPECT_GT(MostAtOnce(1'000'000, 1000), 3);
  EXPECT_GT(MostAtOnce(std::nullopt, 1000), 3);
  EXPECT_GT(MostAtOnce(10, std::nullopt), 3);
}

// For passes that cannot wait for one another.
TEST(MemoryGate, SaysBeforehandHowManyPassesItWouldLetIn) {
  const auto side_by_side = [](std::optional<std::int64_t> available) {
    MemoryGate gate({.available = [=] { return available; },
                     .begin = [] {},
                     .end = []() -> std::optional<std::int64_t> { return 1000; }});
    EXPECT_EQ(gate.SideBySide(8, 100), 1) << "before one was measured";
    { const MemoryGatePass measured(gate, 100); }
    return gate.SideBySide(8, 100);
  };
  EXPECT_EQ(side_by_side(3200), 2);
  EXPECT_EQ(side_by_side(4600), 3);
  EXPECT_EQ(side_by_side(10), 1);
  EXPECT_EQ(side_by_side(1'000'000), 8);
  EXPECT_EQ(side_by_side(std::nullopt), 8);
}

TEST(Memory, IsMeasuredByTheSystem) {
  ASSERT_TRUE(base::AvailableMemory());
  EXPECT_GT(*base::AvailableMemory(), 0);
  ASSERT_TRUE(base::ResidentMemory());
  if (!base::ResetPeakMemory()) GTEST_SKIP() << "the peak cannot be reset here";
  const std::int64_t before = *base::ResidentMemory();
  constexpr std::size_t kSize = std::size_t{64} << 20;
  { std::vector<char> taken(kSize, 'x'); }
  EXPECT_GT(*base::PeakMemory() - before, static_cast<std::int64_t>(kSize / 2));
}

}  // namespace
}  // namespace cloister::trainer
