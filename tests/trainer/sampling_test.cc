#include "trainer/data/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <set>

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

TEST(PoissonDraw, DrawsEachUnitIndependentlyAtTheRate) {
  auto random = security::AesCtrStream::FromKey(security::SecretBytes(32));
  std::printf("seed: a key of zeros\n");
  constexpr double kRate = 0.3;
  constexpr int kDraws = 4000, kUnits = 10;
  std::vector<int> counts(kUnits, 0);
  std::map<std::size_t, int> sizes;
  for (int draw = 0; draw < kDraws; ++draw) {
    const auto drawn = PoissonDraw(kUnits, kRate, random);
    for (const std::int64_t unit : drawn) ++counts[static_cast<std::size_t>(unit)];
    ++sizes[drawn.size()];
  }
  const double deviation = std::sqrt(kDraws * kRate * (1 - kRate));
  for (const int count : counts) EXPECT_NEAR(count, kDraws * kRate, 5 * deviation);
  // A fixed-size batch would always have three units.
  EXPECT_GT(sizes.size(), 6U);
  EXPECT_GT(sizes[0], 0);
}

TEST(PoissonDraw, RanksDrawFromShardsOfTheirOwn) {
  std::printf("seed: a key of zeros\n");
  constexpr std::int64_t kUnits = 11, kRanks = 3;
  std::set<std::int64_t> seen;
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    auto random = security::AesCtrStream::FromKey(security::SecretBytes(32));
    for (const std::int64_t unit : PoissonDraw(kUnits, 1, random, {rank, kRanks})) {
      EXPECT_TRUE(seen.insert(unit).second) << "two ranks drew " << unit;
    }
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kUnits));
  // More ranks than units: some have nothing to draw, and draw that.
  auto random = security::AesCtrStream::FromKey(security::SecretBytes(32));
  EXPECT_TRUE(PoissonDraw(2, 1, random, {3, 5}).empty());
}

TEST(ShuffledBatches, EachEpochHoldsEveryRecordOnceInASeededOrder) {
  const ShuffledBatches a(10, 5, 1), b(10, 5, 1), c(10, 5, 2);
  std::vector<std::int64_t> first = a.Batch(0), second = a.Batch(1);
  EXPECT_EQ(second, b.Batch(1));  // also without the step before it
  EXPECT_NE(first, c.Batch(0));
  first.insert(first.end(), second.begin(), second.end());
  std::sort(first.begin(), first.end());
  EXPECT_THAT(first, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_EQ(ShuffledBatches(3, 8, 1).Batch(0).size(), 3U);
}

TEST(ShuffledBatches, ABatchMayEndOneEpochAndBeginTheNext) {
  const ShuffledBatches batches(10, 4, 3);
  std::vector<std::int64_t> turns;
  for (std::int64_t step = 0; step < 15; ++step) {
    const auto batch = batches.Batch(step);
    turns.insert(turns.end(), batch.begin(), batch.end());
  }
  std::set<std::vector<std::int64_t>> orders;
  for (auto epoch = turns.begin(); epoch != turns.end(); epoch += 10) {
    orders.emplace(epoch, epoch + 10);
    EXPECT_EQ(std::set(epoch, epoch + 10).size(), 10U);
  }
  EXPECT_EQ(orders.size(), 6U);
}

TEST(Permutation, IsOneOfEverySize) {
  for (std::int64_t size = 1; size <= 300; ++size) {
    for (const std::uint64_t seed : {0, 1, 77}) {
      const Permutation permutation(size, seed);
      std::vector<bool> seen(static_cast<std::size_t>(size));
      for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t to = permutation.At(i);
        ASSERT_TRUE(to >= 0 && to < size);
        ASSERT_FALSE(seen[static_cast<std::size_t>(to)]) << size << " " << seed;
        seen[static_cast<std::size_t>(to)] = true;
      }
    }
  }
}

// Of sizes that nobody keeps an order of: a few places go to places that differ, and far apart.
TEST(Permutation, OfAnySizeTakesNoMemory) {
  for (const std::int64_t size :
       {std::int64_t{1'000'003}, std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::max()}) {
    const Permutation permutation(size, 5);
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < 1000; ++i) seen.insert(permutation.At(size - 1 - i));
    EXPECT_EQ(seen.size(), 1000U);
    EXPECT_LT(*seen.begin(), size / 50);
    EXPECT_GT(*seen.rbegin(), size - size / 50);
  }
}

// Over the seeds and over the epochs every place is as likely, and so is every way between two of
// them: chi-square tests. One that leaves some where they are is found.
TEST(Permutation, SendsAPlaceToEveryOtherAlike) {
  constexpr std::int64_t kSize = 12;
  constexpr std::uint64_t kSeeds = 12'000;
  const auto spread = [&](std::int64_t kinds, const auto& kind_of) {
    std::vector<double> counts(static_cast<std::size_t>(kinds));
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) ++counts.at(kind_of(seed));
    const double expected = static_cast<double>(kSeeds) / static_cast<double>(kinds);
    double sum = 0;
    for (const double count : counts) sum += std::pow(count - expected, 2) / expected;
    return sum;
  };
  constexpr double kMost = 40;  // with 11 degrees of freedom above it once in 30,000 times
  EXPECT_LT(spread(kSize, [](std::uint64_t seed) { return Permutation(kSize, seed).At(0); }),
            kMost);
  EXPECT_LT(spread(kSize, [](std::uint64_t epoch) { return Permutation(kSize, 9, epoch).At(11); }),
            kMost);
  EXPECT_LT(spread(kSize - 1,
                   [](std::uint64_t seed) {
                     const Permutation permutation(kSize, seed);
                     return (permutation.At(1) - permutation.At(0) + kSize) % kSize - 1;
                   }),
            kMost);
  EXPECT_GT(
      spread(kSize,
             [](std::uint64_t seed) { return seed % 9 == 0 ? 0 : Permutation(kSize, seed).At(0); }),
      kMost);
}

// How often a slot comes in the batches of a run at most, and after how many steps again at least.
dp::Participation Observed(const std::vector<std::vector<std::int64_t>>& batches) {
  std::map<std::int64_t, std::vector<std::int64_t>> turns;
  for (std::size_t step = 0; step < batches.size(); ++step) {
    for (const std::int64_t slot : batches[step]) {
      turns[slot].push_back(static_cast<std::int64_t>(step));
    }
  }
  dp::Participation seen{0, std::numeric_limits<std::int64_t>::max()};
  for (const auto& [slot, steps] : turns) {
    seen.max_participations =
        std::max(seen.max_participations, static_cast<std::int64_t>(steps.size()));
    for (std::size_t i = 1; i < steps.size(); ++i) {
      seen.min_separation = std::min(seen.min_separation, steps[i] - steps[i - 1]);
    }
  }
  return seen;
}

constexpr dp::Participation kAnything{1'000'000, 1};

std::vector<std::vector<std::int64_t>> Batches(const FixedOrder& order) {
  const auto loader = FixedOrderBatches::Create(order, kAnything, 7);
  EXPECT_TRUE(loader) << loader.error().message;
  std::vector<std::vector<std::int64_t>> batches;
  for (std::int64_t step = 0; step < order.steps; ++step) batches.push_back(loader->Batch(step));
  return batches;
}

// What the accounting of a matrix mechanism rests on, for every order of a small size.
TEST(FixedOrder, UnitsTakePartAsOftenAndAsFarApartAsTheScheduleSays) {
  for (std::int64_t slots = 1; slots <= 13; ++slots) {
    for (std::int64_t batch = 1; batch <= slots; ++batch) {
      for (std::int64_t steps = 1; steps <= 30; ++steps) {
        const FixedOrder order{slots, batch, steps};
        const dp::Participation says = order.Schedule();
        const dp::Participation seen = Observed(Batches(order));
        EXPECT_EQ(seen.max_participations, says.max_participations);
        EXPECT_GE(seen.min_separation, says.min_separation);
        // Reached, unless the run ends before.
        if (steps * batch >= 3 * slots && slots % batch == 0) {
          EXPECT_EQ(seen.min_separation, says.min_separation);
        }
      }
    }
  }
}

// The broken variants, so that the test above is known to see what it looks for.
TEST(FixedOrder, OrdersThatAreNotFixedAreFound) {
  const FixedOrder order{12, 3, 12};
  // Shuffled anew each epoch: a unit's turn at an epoch's end may be followed by one at the start.
  const ShuffledBatches anew(order.slots, order.batch_size, 7);
  std::vector<std::vector<std::int64_t>> shuffled;
  for (std::int64_t step = 0; step < order.steps; ++step) shuffled.push_back(anew.Batch(step));
  EXPECT_LT(Observed(shuffled).min_separation, order.Schedule().min_separation);
  // Drawn with replacement: some come more often.
  auto drawn = Batches(order);
  drawn[5] = drawn[0];
  EXPECT_GT(Observed(drawn).max_participations, order.Schedule().max_participations);
  // One slot that changed places in the second epoch.
  auto moved = Batches(order);
  std::swap(moved[4][0], moved[7][0]);
  EXPECT_LT(Observed(moved).min_separation, order.Schedule().min_separation);
}

TEST(FixedOrder, EachEpochIsTheSamePermutationOfASeed) {
  const FixedOrder order{12, 4, 9};
  const auto batches = Batches(order);
  std::set<std::int64_t> first;
  for (std::size_t step = 0; step < 3; ++step) {
    first.insert(batches[step].begin(), batches[step].end());
    EXPECT_EQ(batches[step], batches[step + 3]);
    EXPECT_EQ(batches[step], batches[step + 6]);
  }
  EXPECT_EQ(first.size(), 12U);
  const auto other = FixedOrderBatches::Create(order, kAnything, 8);
  EXPECT_NE(other->Batch(0), batches[0]);
  EXPECT_EQ(FixedOrderBatches::Create(order, kAnything, 7)->Batch(8), batches[8]);
}

TEST(FixedOrder, RefusesWhatItsNoiseIsNotAccountedFor) {
  const FixedOrder order{100, 7, 30};  // 210 turns: 3 each at most, 14 steps apart at least
  const auto fault = [&](const FixedOrder& asked, dp::Participation allowed) -> std::string {
    const auto loader = FixedOrderBatches::Create(asked, allowed, 1);
    if (loader) return "";
    EXPECT_EQ(loader.error().code, base::Code::kInvalidArgument);
    return loader.error().message;
  };
  EXPECT_EQ(fault(order, {3, 14}), "");
  EXPECT_EQ(fault(order, {4, 10}), "");
  EXPECT_THAT(fault(order, {2, 14}), HasSubstr("up to 3 times, 2 are allowed"));
  EXPECT_THAT(fault(order, {3, 15}), HasSubstr("again after 14 steps, at least 15"));
  EXPECT_THAT(fault({100, 101, 30}, {100, 1}), HasSubstr("at most 100"));
  EXPECT_NE(fault({0, 1, 1}, {100, 1}), "");
  EXPECT_NE(fault({10, 0, 1}, {100, 1}), "");
  EXPECT_NE(fault({10, 1, 0}, {100, 1}), "");
  EXPECT_NE(fault({std::int64_t{1} << 40, std::int64_t{1} << 39, std::int64_t{1} << 30}, {1, 1}),
            "");
}

}  // namespace
}  // namespace cloister::trainer
