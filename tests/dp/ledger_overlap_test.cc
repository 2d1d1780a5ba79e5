#include <gtest/gtest.h>

#include <algorithm>

#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

TEST_F(LedgerTest, RenamedExtendedOrTrimmedDataInheritsItsSpends) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  const std::int64_t affordable = Affordable(0.8, 0.2);
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1, 0.8, affordable, 0.2)));

  const auto reversed = [&] {
    std::vector<std::string> units = Units(0, 50);
    std::reverse(units.begin(), units.end());
    units.push_back(units.front());
    return units;
  }();
  EXPECT_EQ(*ledger->RegisterDataSet("another name", reversed, PrivacyUnit::kRecord,
                                     Neighbours::kAddOrRemoveOne, kBudget),
            id);
  for (const auto& units : {Units(0, 49), Units(0, 60), Units(49, 90)}) {
    const std::string other = Register(*ledger, units);
    EXPECT_NE(other, id);
    EXPECT_GT(ledger->Spent(other)->epsilon, 7.9);
    EXPECT_EQ(ledger->Debit(other, SpendOf(2, 0.8, 1, 0.2)).error().code,
              base::Code::kResourceExhausted);
  }
  // The broken variant: without a shared unit the budget is fresh.
  const std::string fresh = Register(*ledger, Units(90, 140));
  EXPECT_EQ(ledger->Spent(fresh)->epsilon, 0);
  EXPECT_TRUE(ledger->Debit(fresh, SpendOf(1, 0.8, 1, 0.2)));
}

TEST_F(LedgerTest, ASpendOnAnOverlappingSetCountsBackToo) {
  const auto ledger = Open();
  const std::string first = Register(*ledger, Units(0, 50));
  const std::string second = Register(*ledger, Units(25, 75));
  ASSERT_TRUE(ledger->Debit(second, SpendOf(1, 2, 20, 0.2)));
  EXPECT_GT(ledger->Spent(first)->epsilon, 1);
  EXPECT_NEAR(ledger->Spent(first)->epsilon, ledger->Spent(second)->epsilon, 1e-12);
}

// A file with one line more would else give a second answer for a draw that was answered.
TEST_F(LedgerTest, OneDrawIsSpentOnceOverOverlappingSets) {
  const auto ledger = Open();
  const std::string first = Register(*ledger, Units(0, 50));
  ASSERT_TRUE(ledger->Debit(first, SpendOf(1)));
  const std::string longer = Register(*ledger, Units(0, 51));
  const auto again = ledger->Debit(longer, SpendOf(1));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, base::Code::kAlreadyExists);
  EXPECT_EQ(ledger->Rows()->size(), 1u);
  ASSERT_TRUE(ledger->Debit(longer, SpendOf(2)));
  EXPECT_EQ(ledger->Debit(first, SpendOf(2)).error().code, base::Code::kAlreadyExists);
  // The broken variant: a set without a shared unit answers for itself.
  EXPECT_TRUE(ledger->Debit(Register(*ledger, Units(60, 99)), SpendOf(1)));
}

TEST_F(LedgerTest, AJobsTotalCountsItsSpendsOnOverlappingSets) {
  const auto ledger = Open();
  const std::string first = Register(*ledger, Units(0, 50));
  const std::string longer = Register(*ledger, Units(0, 51));
  const std::string apart = Register(*ledger, Units(60, 99));
  ASSERT_TRUE(ledger->Debit(first, SpendOf(1, 2, 10)));
  ASSERT_TRUE(ledger->Debit(longer, SpendOf(2, 2, 10)));
  ASSERT_TRUE(ledger->Debit(apart, SpendOf(3, 2, 10)));
  Spend other = SpendOf(1, 2, 10);
  other.key.job = "other";
  ASSERT_TRUE(ledger->Debit(first, other));
  const double twenty = EpsilonOfPlan({2, 0.05, 20, Neighbours::kAddOrRemoveOne}, 1e-6);
  const double ten = EpsilonOfPlan({2, 0.05, 10, Neighbours::kAddOrRemoveOne}, 1e-6);
  for (const std::string& id : {first, longer}) {
    EXPECT_NEAR(ledger->SpentByJob(id, "job", 1e-6)->epsilon, twenty, 1e-9);
    EXPECT_NEAR(ledger->SpentByJob(id, "job", 1e-6)->epsilon_own_noise, twenty, 1e-9);
    EXPECT_NEAR(ledger->SpentByJob(id, "other", 1e-6)->epsilon, ten, 1e-9);
  }
  EXPECT_NEAR(ledger->SpentByJob(apart, "job", 1e-6)->epsilon, ten, 1e-9);
}

// The least epsilon and the least delta of those that have spent bind, each for itself.
TEST_F(LedgerTest, TheDeltaOfAnOverlappingSetThatSpentBindsToo) {
  const std::int64_t most = Affordable(1, 0.05, {8, 1e-7});
  ASSERT_LT(most + 10, Affordable(1, 0.05)) << "of kBudget";
  const auto ledger = Open();
  const std::string whole = Register(*ledger, Units(0, 10));
  const Event planned = SpendOf(1, 1, most + 10).event;
  EXPECT_TRUE(ledger->CheckAffordable(whole, planned));
  const auto part = TryRegister(*ledger, Units(9, 20), {8, 1e-7});
  ASSERT_TRUE(part) << part.error().message;
  EXPECT_TRUE(ledger->CheckAffordable(whole, planned)) << "nothing was spent yet";
  ASSERT_TRUE(ledger->Debit(*part, SpendOf(1, 100)));
  EXPECT_EQ(ledger->CheckAffordable(whole, planned).error().code, base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace cloister::dp
