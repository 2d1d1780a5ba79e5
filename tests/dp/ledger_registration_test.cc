#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

constexpr PrivacyBudget kTiny{0.01, 1e-5};
constexpr PrivacyBudget kOne{1, 1e-5};

base::Code CodeOf(const base::Result<std::string>& result) {
  return result ? base::Code::kOk : result.error().code;
}

// A job that was refused has spent nothing, and decides nothing for the next.
TEST_F(LedgerTest, ARefusedJobDoesNotFixTheBudget) {
  std::string id;
  {
    const auto ledger = Open();
    id = TryRegister(*ledger, Units(0, 50), kTiny).value_or("");
    EXPECT_EQ(ledger->CheckAffordable(id, SpendOf(0).event).error().code,
              base::Code::kResourceExhausted);
    EXPECT_EQ(ledger->Debit(id, SpendOf(0)).error().code, base::Code::kResourceExhausted);
  }
  const auto ledger = Open();
  ASSERT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), kBudget)), base::Code::kOk);
  EXPECT_EQ(ledger->Spent(id)->budget, kBudget.epsilon);
  // Lower again, and for who asks nothing.
  ASSERT_TRUE(TryRegister(*ledger, Units(0, 50), kOne));
  EXPECT_EQ(Ledger::OpenReadOnly(path_).value()->Spent(id)->budget, 1);
  ASSERT_TRUE(TryRegister(*ledger, Units(0, 50), kBudget));
  ASSERT_TRUE(ledger->Debit(id, SpendOf(0, 1, 50)));
  // From here on it is fixed.
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), {9, 1e-5})), base::Code::kPermissionDenied);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), kTiny)), base::Code::kOk);
  EXPECT_EQ(Open()->Spent(id)->budget, kBudget.epsilon);
  EXPECT_EQ(CodeOf(TryRegister(*Open(), Units(0, 50), kBudget)), base::Code::kOk);
}

TEST_F(LedgerTest, ASpendOnAnOverlappingSetFixesTheBudgetToo) {
  const auto ledger = Open();
  ASSERT_TRUE(TryRegister(*ledger, Units(0, 50), kOne));
  // Nothing was spent on these units: larger is allowed beside it as well.
  const std::string second = TryRegister(*ledger, Units(49, 99), {2, 1e-5}).value_or("");
  ASSERT_TRUE(ledger->Debit(second, SpendOf(0, 5)));
  // The first set's own budget was nobody's yet; its neighbour's binds it, as it would a new set.
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), {3, 1e-5})), base::Code::kPermissionDenied);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), {1.5, 1e-5})), base::Code::kOk);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), {2, 1e-5})), base::Code::kOk);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 51), {3, 1e-5})), base::Code::kPermissionDenied);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), kOne)), base::Code::kOk);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(98, 120), {3, 1e-5})), base::Code::kPermissionDenied);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(98, 120), {2, 1e-5})), base::Code::kOk);
  // Beside a set that nobody spent on: a refused job's.
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(200, 250), kTiny)), base::Code::kOk);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(249, 260), kBudget)), base::Code::kOk);
}

// A run goes on beside a set that was refused and overlaps with its own.
TEST_F(LedgerTest, ARefusedSetDoesNotKeepItsNeighbourFromGoingOn) {
  const auto ledger = Open();
  ASSERT_TRUE(TryRegister(*ledger, Units(0, 50), kTiny));
  const std::string longer = TryRegister(*ledger, Units(0, 51), kBudget).value_or("");
  ASSERT_TRUE(ledger->Debit(longer, SpendOf(0)));
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 51), kBudget)), base::Code::kOk);
  EXPECT_TRUE(ledger->Debit(longer, SpendOf(1)));
  // Nor from being used itself, within what its units were released under.
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), {9, 1e-5})), base::Code::kPermissionDenied);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(0, 50), kBudget)), base::Code::kOk);
}

// Once a release was made under the smaller budget, no unit of it passes that, whichever set the
// spend is on.
TEST_F(LedgerTest, ABudgetThatWasReleasedUnderBindsItsNeighbours) {
  const auto ledger = Open();
  const Spend planned = SpendOf(1, 2, 100);
  const auto after_spend_under = [&](int from, PrivacyBudget budget) {
    const std::string first = TryRegister(*ledger, Units(from, from + 50), budget).value_or("");
    const std::string large =
        TryRegister(*ledger, Units(from + 49, from + 99), kBudget).value_or("");
    EXPECT_TRUE(ledger->CheckAffordable(large, planned.event));
    EXPECT_TRUE(ledger->Debit(first, SpendOf(0, 5)));
    return std::pair(first, large);
  };
  const auto [small, large] = after_spend_under(0, kOne);
  EXPECT_EQ(ledger->CheckAffordable(large, planned.event).error().code,
            base::Code::kResourceExhausted);
  EXPECT_EQ(ledger->Debit(large, planned).error().code, base::Code::kResourceExhausted);
  EXPECT_TRUE(ledger->Debit(large, SpendOf(1, 5)));
  EXPECT_LE(ledger->Spent(small)->epsilon, 1);
  EXPECT_EQ(CodeOf(TryRegister(*ledger, Units(49, 99), kBudget)), base::Code::kPermissionDenied);
  // The broken variant: a release under as much as the plan needs does not bind it.
  const auto [equal, other] = after_spend_under(200, kBudget);
  EXPECT_TRUE(ledger->Debit(other, planned));
  EXPECT_GT(ledger->Spent(equal)->epsilon, 1);
}

// Two jobs that register one set differently before either spends: the later registration counts,
// and neither spends more than it asked for itself.
TEST_F(LedgerTest, ARegistrationMadeMeanwhileBindsTheDebit) {
  const auto first = Open();
  const auto second = Open();
  const Spend large = SpendOf(0, 1, 50);
  const std::string id = TryRegister(*first, Units(0, 50), kBudget).value_or("");
  ASSERT_TRUE(first->CheckAffordable(id, large.event));
  ASSERT_TRUE(TryRegister(*second, Units(0, 50), kOne));
  EXPECT_EQ(first->Debit(id, large).error().code, base::Code::kResourceExhausted);
  ASSERT_TRUE(second->Debit(id, SpendOf(0, 5)));
  EXPECT_EQ(CodeOf(TryRegister(*first, Units(0, 50), kBudget)), base::Code::kPermissionDenied);
  // The other way round: raised by one, the other keeps to what it asked for.
  const std::string other = TryRegister(*first, Units(100, 150), kOne).value_or("");
  ASSERT_TRUE(TryRegister(*second, Units(100, 150), kBudget));
  EXPECT_EQ(first->Debit(other, large).error().code, base::Code::kResourceExhausted);
  EXPECT_TRUE(second->Debit(other, large));
}

// Whichever process comes first, no release is made beyond a budget that one was made under.
TEST_F(LedgerTest, RacingRegistrationsKeepThePromiseOfTheFirstSpend) {
  for (int i = 0; i < 8; ++i) {
    path_ = folder_ / ("ledger" + std::to_string(i));
    { Open(); }
    pid_t children[2];
    for (int side = 0; side < 2; ++side) {
      children[side] = ::fork();
      if (children[side] != 0) continue;
      auto ledger = Ledger::Open(path_);
      if (!ledger) ::_exit(1);
      const auto id = TryRegister(**ledger, Units(0, 50), side == 0 ? kOne : kBudget);
      if (!id) ::_exit(id.error().code == base::Code::kPermissionDenied ? 0 : 2);
      for (std::int64_t round = 0; round < 5; ++round) {
        Spend spend = SpendOf(round, 1.5);
        spend.key.job = std::to_string(side);
        const base::Status debit = (*ledger)->Debit(*id, spend);
        if (!debit) ::_exit(debit.error().code == base::Code::kResourceExhausted ? 0 : 3);
      }
      ::_exit(0);
    }
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
    }
    const auto ledger = Open();
    const auto rows = ledger->Rows().value();
    ASSERT_FALSE(rows.empty());
    const auto total = ledger->Spent(rows.front().data_set);
    EXPECT_LE(total->epsilon, total->budget);
    if (rows.front().spend.key.job == "0") {
      EXPECT_EQ(total->budget, 1);
    }
  }
}

}  // namespace
}  // namespace cloister::dp
