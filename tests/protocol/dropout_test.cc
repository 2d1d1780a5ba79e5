// The sum is exact whoever is lost, as long as the threshold holds; below it nothing is opened.

#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/simulated_federation.h"

namespace cloister::federation::protocol {
namespace {

constexpr std::uint64_t kWords = 37;

// The sites of a bit mask, all lost at `point`.
Losses LostAt(unsigned mask, Leaves point) {
  Losses losses;
  for (SiteIndex i = 0; i < 16; ++i) {
    if (mask >> i & 1U) losses[i] = point;
  }
  return losses;
}

// Who is in the sum: everyone whose upload was whole.
std::vector<SiteIndex> Uploaders(std::uint32_t sites, const Losses& losses) {
  std::vector<SiteIndex> who;
  for (std::uint32_t i = 0; i < sites; ++i) {
    const auto site = static_cast<SiteIndex>(i);
    const auto loss = losses.find(site);
    if (loss == losses.end() || loss->second > Leaves::kDuringUpload) who.push_back(site);
  }
  return who;
}

std::string Describe(const Losses& losses) {
  std::string text;
  for (const auto& [site, point] : losses) {
    text += " site " + std::to_string(site) + " at " + std::to_string(static_cast<int>(point));
  }
  return text.empty() ? " nobody" : text;
}

void ExpectExactSum(std::uint32_t sites, std::uint32_t colluders, const Losses& losses,
                    std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", lost:" + Describe(losses));
  SimulatedFederation federation(sites, colluders, kWords, seed);
  const auto sum = federation.Run(losses);
  ASSERT_TRUE(sum.has_value()) << sum.error().message;
  EXPECT_TRUE(federation.refusals.empty()) << federation.refusals.front();
  EXPECT_EQ(sum->survivors, Uploaders(sites, losses));
  EXPECT_EQ(sum->sum, federation.PlainSum(sum->survivors));
}

void ExpectNothing(std::uint32_t sites, std::uint32_t colluders, const Losses& losses,
                   std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", lost:" + Describe(losses));
  SimulatedFederation federation(sites, colluders, kWords, seed);
  const auto sum = federation.Run(losses);
  ASSERT_FALSE(sum.has_value());
  EXPECT_EQ(sum.error().code, base::Code::kUnavailable) << sum.error().message;
  EXPECT_LT(federation.RevealCount(), federation.terms->parameters.threshold);
}

TEST(Dropout, FourSitesSumExactlyWithNobodyOrAnyOneLostAtAnyPoint) {
  ExpectExactSum(4, 1, {}, 1);
  for (SiteIndex lost = 0; lost < 4; ++lost) {
    for (const Leaves point : kEveryPoint) {
      ExpectExactSum(4, 1, {{lost, point}}, 10U * lost + static_cast<std::uint32_t>(point));
    }
  }
}

TEST(Dropout, SevenSitesSumExactlyWithNobodyOrAnyOneLostAtAnyPoint) {
  ExpectExactSum(7, 2, {}, 12);
  for (SiteIndex lost = 0; lost < 7; ++lost) {
    for (const Leaves point : kEveryPoint) ExpectExactSum(7, 2, {{lost, point}}, 13U + lost);
  }
}

TEST(Dropout, SevenSitesSumExactlyWithAnyTwoLostEachAtAnyPoint) {
  for (SiteIndex one = 0; one < 7; ++one) {
    for (SiteIndex other = one + 1; other < 7; ++other) {
      for (const Leaves first : kEveryPoint) {
        for (const Leaves second : kEveryPoint) {
          ExpectExactSum(7, 2, {{one, first}, {other, second}}, 100U * one + other);
        }
      }
    }
  }
}

TEST(Dropout, TwentySitesSumExactlyWithOneLostAtEachPoint) {
  Losses losses;
  for (const Leaves point : kEveryPoint) {
    losses[static_cast<SiteIndex>(3 * static_cast<int>(point))] = point;
  }
  ExpectExactSum(20, 6, losses, 14);
}

TEST(Dropout, BelowTheThresholdNothingIsOpened) {
  for (const Leaves point : kEveryPoint) {
    ExpectNothing(4, 1, LostAt(0b0110, point), 3);
    ExpectNothing(7, 2, LostAt(0b1010001, point), 4);
    ExpectNothing(7, 2, LostAt(0b1111111, point), 5);
  }
  // Each phase may lose a site of its own: what counts is who is left.
  ExpectNothing(4, 1, {{0, Leaves::kBeforeUpload}, {3, Leaves::kBeforeCommit}}, 6);
  ExpectNothing(4, 1, {{1, Leaves::kBeforeShare}, {2, Leaves::kBeforeReveal}}, 7);
}

TEST(Dropout, ThreeSitesBearNoLossBecauseTwoMayNotBeSummed) {
  ExpectExactSum(3, 0, {}, 8);
  for (const Leaves point : kEveryPoint) ExpectNothing(3, 0, {{1, point}}, 9);
}

TEST(Dropout, TheErrorNamesTheSitesThatAreMissing) {
  SimulatedFederation federation(4, 1, kWords, 10);
  const auto sum = federation.Run(LostAt(0b0101, Leaves::kBeforeUpload));
  ASSERT_FALSE(sum.has_value());
  EXPECT_NE(sum.error().message.find("'site-a', site 'site-c'"), std::string::npos)
      << sum.error().message;
}

TEST(Dropout, ALateMessageFindsItsPhaseOver) {
  SimulatedFederation federation(4, 1, kWords, 11);
  federation.Advertise(federation.All());
  ASSERT_TRUE(federation.CloseAdvertising().has_value());
  const auto late = federation.advertising->Add(federation.sites[0].advertised->advertisement());
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, base::Code::kFailedPrecondition);
}

TEST(Dropout, TheJobsMinimumCohortCountsWhereItIsAboveTheThreshold) {
  SimulatedFederation federation(7, 2, kWords, 12);
  auto terms = std::make_shared<Terms>(*federation.terms);
  terms->parameters.minimum_cohort = 7;
  federation.terms = terms;
  federation.advertising = *Advertising::Start(terms, federation.attempt, federation.context);
  const auto sum = federation.Run({{2, Leaves::kBeforeUpload}});
  ASSERT_FALSE(sum.has_value());
  EXPECT_NE(sum.error().message.find("6 uploaded and 7 must"), std::string::npos)
      << sum.error().message;
}

}  // namespace
}  // namespace cloister::federation::protocol
