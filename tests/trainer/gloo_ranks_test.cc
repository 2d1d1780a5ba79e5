// Ranks over real sockets: what they add up, gather and hand out, and how each learns of another's
// end.
#include "trainer/distributed/gloo_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <string>

#include "tests/trainer/rank_threads.h"

namespace cloister::trainer {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

Patience Short() {
  Patience patience;
  patience.arrival = std::chrono::seconds(20);
  patience.silence = milliseconds(3000);
  patience.beat = milliseconds(50);
  return patience;
}

// More than one piece of a transfer, and no multiple of anything.
constexpr std::size_t kLong = (std::size_t{1} << 20) + 777;

std::vector<float> Numbered(std::size_t size, float first) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = first + static_cast<float>(i % 1000);
  return values;
}

TEST(GlooRanks, AddWholeNumbersExactlyOnTheFirst) {
  OnRanks(3, [](Ranks& ranks) {
    const std::int64_t large = std::int64_t{1} << 61;
    std::vector<std::int64_t> values(kLong, ranks.rank() + 1);
    values[5] = ranks.rank() == 0 ? large + 1 : -large / 2;
    ASSERT_TRUE(ranks.SumToFirst(values));
    if (!ranks.first()) {  // what it gave, and nothing of the others'
      EXPECT_EQ(values[5], -large / 2);
      values[5] = ranks.rank() + 1;
      EXPECT_EQ(values, std::vector<std::int64_t>(kLong, ranks.rank() + 1));
      return;
    }
    EXPECT_EQ(values[5], 1);  // fp64 would have lost it
    values[5] = 6;
    EXPECT_EQ(values, std::vector<std::int64_t>(kLong, 6));
  });
}

TEST(GlooRanks, ShardsAreSummedGatheredAndHandedOut) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{300}, std::size_t{513}, kLong}) {
    OnRanks(3, [size](Ranks& ranks) {
      const auto rank = static_cast<float>(ranks.rank());
      const Range own = ranks.Shard(size);  // empty on some where there is little
      std::vector<float> shard(own.size());
      ASSERT_TRUE(ranks.SumShards(Numbered(size, rank), shard));
      const std::vector<float> sum = [&] {
        std::vector<float> whole = Numbered(size, 0);
        for (float& value : whole) value = 3 * value + 3;
        return whole;
      }();
      EXPECT_TRUE(std::equal(shard.begin(), shard.end(),
                             sum.begin() + static_cast<std::ptrdiff_t>(own.begin)));
      std::vector<float> whole(size);
      std::copy(shard.begin(), shard.end(), whole.begin() + static_cast<std::ptrdiff_t>(own.begin));
      ASSERT_TRUE(ranks.GatherShards(whole));
      EXPECT_EQ(whole, sum);
      const std::vector<float> source = Numbered(size, 7);
      const auto read = [&](std::size_t begin, std::span<float> values) {
        EXPECT_TRUE(ranks.first());
        std::copy_n(source.begin() + static_cast<std::ptrdiff_t>(begin), values.size(),
                    values.begin());
      };
      ASSERT_TRUE(ranks.ScatterShards(size, read, shard));
      EXPECT_TRUE(std::equal(shard.begin(), shard.end(),
                             source.begin() + static_cast<std::ptrdiff_t>(own.begin)));
    });
  }
}

TEST(GlooRanks, BytesOfAnyNumberGoToTheFirstAndBack) {
  OnRanks(3, [](Ranks& ranks) {
    const std::vector<std::size_t> sizes = {5, 0, kLong};
    const auto rank = static_cast<std::size_t>(ranks.rank());
    const std::vector<std::byte> own(sizes[rank], std::byte{static_cast<std::uint8_t>(rank + 1)});
    std::vector<std::byte> whole(ranks.first() ? kLong + 5 : 0);
    ASSERT_TRUE(ranks.GatherOnFirst(own, whole));
    if (ranks.first()) {
      EXPECT_EQ(whole[4], std::byte{1});
      EXPECT_EQ(whole[5], std::byte{3});
      EXPECT_EQ(whole.back(), std::byte{3});
    }
    std::vector<std::byte> back(own.size());
    ASSERT_TRUE(ranks.ScatterFromFirst(whole, back));
    EXPECT_EQ(back, own);
  });
}

TEST(GlooRanks, SayTheSameOnAll) {
  OnRanks(2, [](Ranks& ranks) {
    const std::vector<std::int64_t> own = {ranks.rank(), 10 * ranks.rank()};
    EXPECT_THAT(ranks.GatherAll(own).value(), ElementsAre(0, 0, 1, 10));
    std::vector<double> sums = {0.5, static_cast<double>(ranks.rank())};
    ASSERT_TRUE(ranks.Sum(sums));
    EXPECT_THAT(sums, ElementsAre(1.0, 1.0));
    EXPECT_EQ(ranks.Decide(ranks.first()).value(), true);
    EXPECT_EQ(ranks.Decide(!ranks.first()).value(), false);
    EXPECT_TRUE(ranks.CheckSame("recipe", "a"));
    const auto other = ranks.CheckSame("recipe", ranks.first() ? "a" : "b");
    ASSERT_FALSE(other);
    EXPECT_THAT(other.error().message, HasSubstr("rank 1 has another recipe than rank 0"));
  });
}

TEST(GlooRanks, AnErrorOfOneIsAnErrorOfAll) {
  OnRanks(3, [](Ranks& ranks) {
    ASSERT_TRUE(ranks.Agree({}));
    const auto refused = [&]() -> base::Status {
      if (ranks.rank() == 0) return {};
      return base::Fail(base::Code::kResourceExhausted,
                        "budget of " + std::to_string(ranks.rank()));
    };
    const base::Status agreed = ranks.Agree(refused());
    ASSERT_FALSE(agreed);
    EXPECT_EQ(agreed.error().code, base::Code::kResourceExhausted);
    EXPECT_EQ(agreed.error().message, ranks.rank() == 1 ? "budget of 1" : "rank 1: budget of 1");
    // And they can go on together.
    ASSERT_TRUE(ranks.Agree({}));
  });
}

TEST(GlooRanks, OneThatEndsTellsTheOthersWhy) {
  OnRanks(
      3,
      [](Ranks& ranks) {
        if (ranks.rank() == 1) {
          EXPECT_FALSE(ranks.Leave(base::Fail(base::Code::kDataLoss, "a broken line")));
          return;
        }
        const base::Status agreed = ranks.Agree({});
        ASSERT_FALSE(agreed);
        EXPECT_EQ(agreed.error().code, base::Code::kDataLoss);
        EXPECT_EQ(agreed.error().message, "rank 1: a broken line");
        EXPECT_FALSE(ranks.GoOn());
        EXPECT_FALSE(ranks.GatherAll({}));
        EXPECT_FALSE(ranks.Leave(agreed));
      },
      Short());
}

TEST(GlooRanks, ALostOneIsNamed) {
  for (const std::int64_t lost : {1, 0}) {
    const auto start = std::chrono::steady_clock::now();
    std::atomic<int> agreed_ranks = 0;
    OnRanks(
        3,
        [&, lost](Ranks& ranks) {
          ASSERT_TRUE(ranks.Agree({}));
          ++agreed_ranks;
          while (agreed_ranks < 3) std::this_thread::sleep_for(milliseconds(1));
          if (ranks.rank() == lost) return;  // without a word
          const base::Status agreed = ranks.Agree({});
          ASSERT_FALSE(agreed);
          EXPECT_EQ(agreed.error().code, base::Code::kUnavailable);
          EXPECT_THAT(agreed.error().message,
                      HasSubstr("rank " + std::to_string(lost) + " was lost"));
          EXPECT_FALSE(ranks.Leave(agreed));
        },
        Short());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  }
}

TEST(GlooRanks, OneThatAsksForTheEndReachesAll) {
  OnRanks(
      2,
      [](Ranks& ranks) {
        if (!ranks.first()) ranks.RequestStop();
        while (ranks.GoOn()) std::this_thread::sleep_for(milliseconds(5));
        EXPECT_TRUE(ranks.Agree({}));  // not an error by itself
        EXPECT_TRUE(ranks.Leave({}));
      },
      Short());
}

TEST(GlooRanks, RanksOutOfStepDoNotWaitForEver) {
  OnRanks(
      2,
      [](Ranks& ranks) {
        std::int64_t one = 1;
        const base::Status called =
            ranks.first() ? ranks.SumToFirst(std::span(&one, 1))
                          : ranks.Broadcast(std::as_writable_bytes(std::span(&one, 1)));
        ASSERT_FALSE(called);
        EXPECT_THAT(called.error().message, HasSubstr("out of step"));
        EXPECT_FALSE(ranks.Leave(called));
      },
      Short());
}

TEST(GlooRanks, OneThatDoesNotComeIsNamed) {
  Patience patience = Short();
  patience.arrival = milliseconds(300);
  const auto ranks = ConnectRanks(MeetHere(3), patience);
  ASSERT_FALSE(ranks);
  EXPECT_THAT(ranks.error().message, HasSubstr("did not come within 1 s: 1, 2"));
}

TEST(GlooRanks, TwoProcessesAreNotOneRank) {
  const Placement place = MeetHere(3);
  std::thread first([&] {
    Patience patience = Short();
    patience.arrival = std::chrono::seconds(2);
    EXPECT_FALSE(ConnectRanks(place, patience));  // the third never comes
  });
  std::vector<base::Code> codes;
  Patience patience = Short();
  patience.arrival = milliseconds(300);
  for (int i = 0; i < 2; ++i) {
    const auto ranks = ConnectRanks(OfRank(place, 1), patience);
    ASSERT_FALSE(ranks);
    codes.push_back(ranks.error().code);
  }
  EXPECT_THAT(codes, ElementsAre(base::Code::kUnavailable, base::Code::kAlreadyExists));
  first.join();
}

}  // namespace
}  // namespace cloister::trainer
