// Steps of several ranks are those of one.
#include "trainer/distributed/sharded_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <vector>

#include "tests/trainer/rank_threads.h"

namespace cloister::trainer {
namespace {

constexpr std::size_t kSize = 1000;
constexpr AdamW::Options kOptions = {.learning_rate = 0.01, .weight_decay = 0.1};

// Of a rank at a step, in sixteenths: their sums are exact.
std::vector<float> GradientOf(std::int64_t rank, int step) {
  std::vector<float> gradient(kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    gradient[i] = static_cast<float>(
                      (static_cast<int>(i) * 7 + static_cast<int>(rank) * 31 + step) % 64 - 30) /
                  16;
  }
  return gradient;
}

std::vector<float> SumOf(std::int64_t ranks, int step) {
  std::vector<float> sum(kSize);
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const auto own = GradientOf(rank, step);
    for (std::size_t i = 0; i < kSize; ++i) sum[i] += own[i];
  }
  return sum;
}

// Where one rank gets to with the sums.
std::vector<float> Alone(std::int64_t ranks, int steps) {
  AdamW optimizer(kOptions, kSize);
  std::vector<float> parameters(kSize, 1);
  for (int step = 1; step <= steps; ++step) {
    optimizer.Begin();
    optimizer.Update(0, parameters, SumOf(ranks, step), 0.25);
  }
  return parameters;
}

TEST(ShardedOptimizer, RanksMoveAsOneWouldToTheBit) {
  for (const std::int64_t size : {1, 2, 3, 5}) {
    OnRanks(size, [size](Ranks& ranks) {
      ShardedOptimizer optimizer(kOptions, kSize, ranks);
      std::vector<float> parameters(kSize, 1);
      for (int step = 1; step <= 4; ++step) {
        const auto moved =
            optimizer.StepAlongSum(1, parameters, GradientOf(ranks.rank(), step), 0.25);
        ASSERT_TRUE(moved) << moved.error().message;
        EXPECT_TRUE(moved->any);
        EXPECT_TRUE(moved->finite);
      }
      EXPECT_EQ(parameters, Alone(size, 4));
    });
  }
}

TEST(ShardedOptimizer, AGradientOfTheFirstReachesAll) {
  OnRanks(3, [](Ranks& ranks) {
    ShardedOptimizer optimizer(kOptions, kSize, ranks);
    std::vector<float> parameters(kSize, 1);
    for (int step = 1; step <= 2; ++step) {
      const std::vector<float> gradient = SumOf(3, step);
      const auto read = [&](std::size_t begin, std::span<float> values) {
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = gradient[begin + i] * 0.25F;
      };
      ASSERT_TRUE(optimizer.StepAlongFirst(1, parameters, read));
    }
    EXPECT_EQ(parameters, Alone(3, 2));
  });
}

TEST(ShardedOptimizer, ANumberThatIsNoneIsSeenByAll) {
  OnRanks(3, [](Ranks& ranks) {
    ShardedOptimizer optimizer(kOptions, kSize, ranks);
    std::vector<float> parameters(kSize, 1);
    std::vector<float> gradient(kSize, 0.5F);
    if (ranks.rank() == 2) gradient[3] = NAN;
    const auto moved = optimizer.StepAlongSum(1, parameters, gradient, 1);
    ASSERT_TRUE(moved);
    EXPECT_FALSE(moved->finite);
  });
}

// Kept by so many ranks, gone on with by others.
TEST(ShardedOptimizer, MomentsGoFromAnyNumberOfRanksToAnyOther) {
  std::optional<AdamW> kept;
  std::vector<float> parameters_then;
  OnRanks(3, [&](Ranks& ranks) {
    ShardedOptimizer optimizer(kOptions, kSize, ranks);
    std::vector<float> parameters(kSize, 1);
    for (int step = 1; step <= 2; ++step) {
      ASSERT_TRUE(optimizer.StepAlongSum(1, parameters, GradientOf(ranks.rank(), step), 0.25));
    }
    ASSERT_TRUE(optimizer.WithWhole([&](const AdamW& whole) -> base::Status {
      kept.emplace(whole);
      parameters_then = parameters;
      return {};
    }));
  });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->steps(), 2);
  for (const std::int64_t size : {1, 2}) {
    OnRanks(size, [&](Ranks& ranks) {
      ShardedOptimizer optimizer(kOptions, kSize, ranks);
      ASSERT_TRUE(optimizer.FillWhole([&](AdamW& whole) -> base::Status {
        whole = *kept;
        return {};
      }));
      std::vector<float> parameters = parameters_then;
      for (int step = 3; step <= 4; ++step) {
        const auto read = [&](std::size_t begin, std::span<float> values) {
          const std::vector<float> gradient = SumOf(3, step);
          for (std::size_t i = 0; i < values.size(); ++i) values[i] = gradient[begin + i] * 0.25F;
        };
        ASSERT_TRUE(optimizer.StepAlongFirst(1, parameters, read));
      }
      EXPECT_EQ(parameters, Alone(3, 4));
    });
  }
}

}  // namespace
}  // namespace cloister::trainer
