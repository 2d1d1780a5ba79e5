#include "dp/mechanism/clipped_sum.h"

#include <gtest/gtest.h>

#include <vector>

#include "dp/mechanism/unnoised.h"
#include "tests/dp/mechanism_fakes.h"
#include "tests/dp/thread_link.h"

namespace cloister::dp {
namespace {

using clipping::ClippedSumFactory;

constexpr double kSpacing = 0x1p-24;
constexpr std::int64_t kMost = ClippedSum::kMaxUnits;

ClippedSum OfUnits(std::int64_t units, double value = 0.25) {
  return ClippedSumFactory::Make(std::vector<double>(3, value), kSpacing, 1, 0,
                                 Neighbours::kAddOrRemoveOne, units);
}

base::Result<ClippedSum> Join(const std::vector<std::int64_t>& units) {
  std::vector<ClippedSum> ranks;
  for (const std::int64_t of_rank : units) ranks.push_back(OfUnits(of_rank));
  return ClippedSum::Join(std::move(ranks));
}

TEST(ClippedSum, JoinAddsTheRanks) {
  std::vector<ClippedSum> ranks;
  ranks.push_back(OfUnits(2, 0.5));
  ranks.push_back(OfUnits(0, 0));
  ranks.push_back(OfUnits(1, -0.125));
  const auto whole = ClippedSum::Join(std::move(ranks));
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(Unnoised::Values(*whole), std::vector<double>(3, 0.375));
}

TEST(ClippedSum, JoinRefusesMoreUnitsThanItsWholeNumbersHold) {
  EXPECT_TRUE(Join({kMost}));
  EXPECT_TRUE(Join({kMost / 2, kMost / 2, 0}));
  const std::vector<std::vector<std::int64_t>> too_many = {
      {kMost, 1}, {1, kMost}, {kMost, kMost}, {kMost / 2, kMost / 2, 0, 1}};
  for (const auto& units : too_many) {
    const auto joined = Join(units);
    ASSERT_FALSE(joined);
    EXPECT_EQ(joined.error().code, base::Code::kOutOfRange);
  }
  // Joined twice they are counted as well.
  std::vector<ClippedSum> ranks;
  ranks.push_back(std::move(Join({kMost / 2, kMost / 2})).value());
  ranks.push_back(OfUnits(1));
  EXPECT_FALSE(ClippedSum::Join(std::move(ranks)));
}

TEST(ClippedSum, ProcessesJoinOnTheFirstAlone) {
  const std::vector<std::int64_t> units = {2, 0, 1};
  const std::vector<double> values = {0.5, 0, -0.125};
  OnThreads(3, [&](ThreadLink& link) {
    const auto rank = static_cast<std::size_t>(link.rank());
    auto joined = ClippedSum::JoinOnFirst(OfUnits(units[rank], values[rank]), link);
    ASSERT_TRUE(joined) << joined.error().message;
    // Nobody else could release anything.
    ASSERT_EQ(joined->whole.has_value(), link.first());
    if (!link.first()) {
      EXPECT_EQ(joined->spare.dimension(), 3);
      return;
    }
    EXPECT_EQ(Unnoised::Values(*joined->whole), std::vector<double>(3, 0.375));
    // Its units are those of all.
    std::vector<ClippedSum> more;
    more.push_back(std::move(*joined->whole));
    more.push_back(OfUnits(kMost - 3));
    more.push_back(OfUnits(1));
    EXPECT_FALSE(ClippedSum::Join(std::move(more)));
  });
}

TEST(ClippedSum, ProcessesThatClipOtherwiseAreNamedOnAll) {
  OnThreads(3, [&](ThreadLink& link) {
    ClippedSum own = link.rank() == 1
                         ? ClippedSumFactory::Make(std::vector<double>(3, 0.25), kSpacing, 2)
                         : OfUnits(1);
    const auto joined = ClippedSum::JoinOnFirst(std::move(own), link);
    ASSERT_FALSE(joined);
    EXPECT_EQ(joined.error().code, base::Code::kInvalidArgument);
    EXPECT_NE(joined.error().message.find("rank 1 clipped by other rules"), std::string::npos);
  });
}

TEST(ClippedSum, ProcessesWithTooManyUnitsJoinNothing) {
  for (const auto& units : std::vector<std::vector<std::int64_t>>{{kMost, 1}, {1, kMost}}) {
    OnThreads(2, [&](ThreadLink& link) {
      const auto joined =
          ClippedSum::JoinOnFirst(OfUnits(units[static_cast<std::size_t>(link.rank())]), link);
      ASSERT_FALSE(joined);
      EXPECT_EQ(joined.error().code, base::Code::kOutOfRange);
    });
  }
}

}  // namespace
}  // namespace cloister::dp
