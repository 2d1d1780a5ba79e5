#include "dp/ledger/ledger.h"

#include <sys/stat.h>

#include <tuple>

#include "dp/accounting/rdp_accountant.h"
#include "dp/ledger/rdp_filter.h"
#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

namespace fs = std::filesystem;

double EpsilonOf(const Event& event, double delta) {
  return *RdpEpsilon(std::span(&event, 1), delta);
}

TEST_F(LedgerTest, KeepsSpendsOverReopening) {
  std::string id;
  {
    const auto ledger = Open();
    id = Register(*ledger, Units(0, 50));
    Spend spend = SpendOf(1);
    spend.own_noise_only = spend.event;
    spend.own_noise_only->noise_multiplier = 0.7;
    ASSERT_TRUE(ledger->Debit(id, spend));
    ASSERT_TRUE(ledger->Debit(id, SpendOf(2)));
  }
  const auto ledger = Open();
  EXPECT_EQ(Register(*ledger, Units(0, 50)), id);
  const auto rows = ledger->Rows();
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].data_set, id);
  EXPECT_EQ((*rows)[0].name, "patients");
  EXPECT_EQ((*rows)[0].spend.key.job, "job");
  EXPECT_EQ((*rows)[1].spend.key.round, 2);
  EXPECT_EQ(ledger->RowsOfJob("job")->size(), 2u);
  EXPECT_EQ(ledger->RowsOfJob("another")->size(), 0u);
  EXPECT_EQ((*rows)[0].spend.event, SpendOf(1).event);
  EXPECT_EQ((*rows)[0].spend.own_noise_only->noise_multiplier, 0.7);
  EXPECT_FALSE((*rows)[1].spend.own_noise_only);
  EXPECT_EQ((*rows)[0].time.size(), 20u);

  const auto reader = Ledger::OpenReadOnly(path_);  // beside the writer
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->Rows()->size(), 2u);
  EXPECT_EQ((*reader)->Debit(id, SpendOf(3)).error().code, base::Code::kFailedPrecondition);
}

TEST_F(LedgerTest, FilesAreTheOwnersAlone) {
  const auto ledger = Open();
  Register(*ledger, Units(0, 5));
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    struct stat status {};
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 077, 0u) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 3);  // ledger, key, lock
  EXPECT_EQ(fs::file_size(path_.string() + ".key"), 32u);
}

TEST_F(LedgerTest, SealingKeysAreTheJobsAndTheLedgersOwn) {
  const auto ledger = Open();
  const security::SecretBytes key = ledger->SealingKey("job").value();
  EXPECT_EQ(key.size(), 32U);
  EXPECT_TRUE(key == Open()->SealingKey("job").value());
  EXPECT_FALSE(key == ledger->SealingKey("other").value());
  const auto other = Ledger::Open(folder_ / "other");
  ASSERT_TRUE(other);
  EXPECT_FALSE(key == (*other)->SealingKey("job").value());
  EXPECT_FALSE(Ledger::OpenReadOnly(path_).value()->SealingKey("job"));
}

TEST_F(LedgerTest, TotalsComposeTheSpends) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  EXPECT_EQ(ledger->Spent(id)->epsilon, 0);
  for (int round = 0; round < 10; ++round) {
    Spend spend = SpendOf(round);
    spend.own_noise_only = spend.event;
    spend.own_noise_only->noise_multiplier = 0.7;
    ASSERT_TRUE(ledger->Debit(id, spend));
  }
  const Event all{1, 0.05, 10, Neighbours::kAddOrRemoveOne};
  const Event own{0.7, 0.05, 10, Neighbours::kAddOrRemoveOne};
  // A job's figure is the tight accountant's, at the delta that is asked.
  const auto by_job = ledger->SpentByJob(id, "job", 1e-6);
  EXPECT_NEAR(by_job->epsilon, EpsilonOfPlan(all, 1e-6), 1e-9);
  EXPECT_NEAR(by_job->epsilon_own_noise, EpsilonOfPlan(own, 1e-6), 1e-9);
  EXPECT_EQ(by_job->delta, 1e-6);
  EXPECT_EQ(ledger->SpentByJob(id, "another", 1e-6)->epsilon, 0);
  // The data set's is the filter's, whose order was fixed for the whole budget: never below.
  const auto total = ledger->Spent(id);
  EXPECT_GE(total->epsilon, EpsilonOf(all, 1e-5));
  EXPECT_LE(total->epsilon, kBudget.epsilon);
  EXPECT_GE(total->epsilon_own_noise, EpsilonOf(own, 1e-5));
  EXPECT_EQ(total->delta, 1e-5);
  EXPECT_EQ(total->budget, kBudget.epsilon);
}

// With the own noise alone another order would be the best one, which is known only afterwards.
TEST_F(LedgerTest, BothFiguresUsedSoFarAreAtTheFixedOrder) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  Spend spend = SpendOf(1, 10, 1, 1);
  spend.own_noise_only = spend.event;
  spend.own_noise_only->noise_multiplier = 5;
  ASSERT_TRUE(ledger->Debit(id, spend));
  const std::vector<double> fixed = {FilterOrder(spend.event, kBudget)};
  const auto total = ledger->Spent(id);
  EXPECT_DOUBLE_EQ(total->epsilon, FilterEpsilon(std::span(&spend.event, 1), fixed, 1e-5));
  EXPECT_DOUBLE_EQ(total->epsilon_own_noise,
                   FilterEpsilon(std::span(&*spend.own_noise_only, 1), fixed, 1e-5));
  EXPECT_GT(total->epsilon_own_noise, 1.05 * EpsilonOf(*spend.own_noise_only, 1e-5));
}

TEST_F(LedgerTest, SpendsTheBudgetToItsEndAndNoFurther) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  const std::int64_t affordable = Affordable(0.8, 0.2);
  ASSERT_GT(affordable, 5);
  // The filter loses nothing against the accountant for a run of one kind.
  EXPECT_TRUE(ledger->CheckAffordable(id, SpendOf(0, 0.8, affordable, 0.2).event));
  EXPECT_EQ(ledger->CheckAffordable(id, SpendOf(0, 0.8, affordable + 1, 0.2).event).error().code,
            base::Code::kResourceExhausted);
  for (std::int64_t round = 0; round < affordable; ++round) {
    const auto debit = ledger->Debit(id, SpendOf(round, 0.8, 1, 0.2));
    ASSERT_TRUE(debit) << round << " of " << affordable << ": " << debit.error().message;
  }
  EXPECT_LE(ledger->Spent(id)->epsilon, 8);
  const auto beyond = ledger->Debit(id, SpendOf(affordable, 0.8, 1, 0.2));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(ledger->Rows()->size(), static_cast<std::size_t>(affordable));
  EXPECT_FALSE(ledger->CheckAffordable(id, SpendOf(0, 0.8, 1, 0.2).event));
}

// Orders may not be chosen after outputs were seen: a spend whose own best order is another one is
// measured at the order that the first spend fixed.
TEST_F(LedgerTest, FilterOrderStaysAsTheFirstSpendFixedIt) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  // Much noise and no sampling: a high order. Then little noise at a tiny rate, whose divergence is
  // negligible at low orders and large at high ones.
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1, 30, 1, 1)));
  const Spend sampled = SpendOf(2, 0.28, 1, 1e-4);
  const auto alone = Register(*ledger, Units(100, 150));
  EXPECT_TRUE(ledger->CheckAffordable(alone, sampled.event));
  const std::vector<Event> both = {SpendOf(1, 30, 1, 1).event, sampled.event};
  ASSERT_LT(*RdpEpsilon(both, 1e-5), 8) << "the best order afterwards would let it pass";
  EXPECT_FALSE(ledger->CheckAffordable(id, sampled.event));
  EXPECT_FALSE(ledger->Debit(id, sampled));
}

TEST_F(LedgerTest, OneDrawIsSpentOnce) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1)));
  const auto again = ledger->Debit(id, SpendOf(1, 20));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, base::Code::kAlreadyExists);
  EXPECT_EQ(ledger->Rows()->size(), 1u);
  Spend attempt = SpendOf(1);
  attempt.key.attempt = 1;
  EXPECT_TRUE(ledger->Debit(id, attempt));
  Spend job = SpendOf(1);
  job.key.job = "other";
  EXPECT_TRUE(ledger->Debit(id, job));
}

TEST_F(LedgerTest, ABudgetCannotBeRaisedByAnyOfItsUnits) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 50));
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1)));
  for (const PrivacyBudget budget : {PrivacyBudget{9, 1e-5}, PrivacyBudget{8, 2e-5}}) {
    for (const auto& units : {Units(0, 50), Units(49, 60)}) {
      const auto raised = TryRegister(*ledger, units, budget);
      ASSERT_FALSE(raised);
      EXPECT_EQ(raised.error().code, base::Code::kPermissionDenied);
      EXPECT_NE(raised.error().message.find("the epsilon 8 at delta 1e-05 that"), std::string::npos)
          << raised.error().message;
    }
  }
  EXPECT_TRUE(TryRegister(*ledger, Units(50, 60), {9, 1e-5}));
  // A lower one binds the process that asks for it.
  EXPECT_TRUE(ledger->CheckAffordable(id, SpendOf(0, 1, 100).event));
  ASSERT_TRUE(TryRegister(*ledger, Units(0, 50), {0.5, 1e-5}));
  EXPECT_FALSE(ledger->CheckAffordable(id, SpendOf(0, 1, 100).event));
}

TEST_F(LedgerTest, RefusesWhatItCannotAccountFor) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 5));
  const auto code = [](const auto& result) {
    return result ? base::Code::kOk : result.error().code;
  };
  const auto try_register = [&](std::vector<std::string> units, PrivacyUnit unit,
                                Neighbours relation, PrivacyBudget budget) {
    return code(ledger->RegisterDataSet("d", units, unit, relation, budget));
  };
  using N = Neighbours;
  constexpr auto kBad = base::Code::kInvalidArgument;
  EXPECT_EQ(try_register({}, PrivacyUnit::kRecord, N::kAddOrRemoveOne, kBudget), kBad);
  EXPECT_EQ(try_register({"x"}, PrivacyUnit::kRecord, N::kAddOrRemoveOne, {0, 1e-5}), kBad);
  EXPECT_EQ(try_register({"x"}, PrivacyUnit::kRecord, N::kAddOrRemoveOne, {8, 1}), kBad);
  EXPECT_EQ(try_register({"x"}, PrivacyUnit::kRecord, N::kReplaceOne, kBudget),
            base::Code::kUnimplemented);

  Spend spend = SpendOf(1);
  spend.event.neighbours = N::kZeroOut;
  EXPECT_EQ(code(ledger->Debit(id, spend)), kBad);
  spend = SpendOf(1, -1);
  EXPECT_EQ(code(ledger->Debit(id, spend)), kBad);
  spend = SpendOf(-1);
  EXPECT_EQ(code(ledger->Debit(id, spend)), kBad);
  spend = SpendOf(1);
  spend.key.job.clear();
  EXPECT_EQ(code(ledger->Debit(id, spend)), kBad);
  spend = SpendOf(1);
  spend.event.delta_slack = 1e-6;  // a sampler this bad would eat delta
  EXPECT_EQ(code(ledger->Debit(id, spend)), base::Code::kResourceExhausted);
  EXPECT_EQ(code(ledger->Debit("no such set", SpendOf(1))), base::Code::kNotFound);
  EXPECT_EQ(code(ledger->Spent("no such set")), base::Code::kNotFound);
  EXPECT_TRUE(ledger->Rows()->empty());
}

// Spends under zero-out and under add-or-remove-one say different things of the same people: no
// conversion is built, so that one unit in common is enough to be refused, whichever came first.
TEST_F(LedgerTest, ZeroOutSpendsNeverStandBesideAddOrRemoveOnes) {
  const auto ledger = Open();
  using N = Neighbours;
  const auto registered = [&](const std::vector<std::string>& units, N relation) {
    return ledger->RegisterDataSet("notes", units, PrivacyUnit::kRecord, relation, kBudget);
  };
  const auto event = [](N relation) {
    return Spend{{"job", 1, 1}, {2, 1, 1, relation, 0}, std::nullopt};
  };
  for (const auto& [first, second, from] :
       {std::tuple{N::kAddOrRemoveOne, N::kZeroOut, 0}, {N::kZeroOut, N::kAddOrRemoveOne, 100}}) {
    const auto id = registered(Units(from, from + 10), first);
    ASSERT_TRUE(id) << id.error().message;
    ASSERT_TRUE(ledger->Debit(*id, event(first)));
    for (const auto& units : {Units(from, from + 10), Units(from + 9, from + 20)}) {
      const auto mixed = registered(units, second);
      ASSERT_FALSE(mixed);
      EXPECT_EQ(mixed.error().code, base::Code::kInvalidArgument);
      EXPECT_NE(mixed.error().message.find(std::string(NeighboursName(first))), std::string::npos)
          << mixed.error().message;
    }
    EXPECT_TRUE(registered(Units(from + 10, from + 20), first));  // its own kind may
    Spend other = event(second);
    other.key.round = 2;
    EXPECT_EQ(ledger->Debit(*id, other).error().code, base::Code::kInvalidArgument);
    EXPECT_FALSE(ledger->CheckAffordable(*id, other.event));
    EXPECT_EQ(ledger->SpentByJob(*id, "job", 1e-5)->epsilon,
              EpsilonOfPlan(event(first).event, 1e-5));
  }
  EXPECT_EQ(ledger->Rows()->size(), 2U);
}

TEST_F(LedgerTest, AStepIsReleasedOnceWhicheverProcessAsks) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 5));
  const auto other = Open();  // as another process has it
  const auto code = [&](Ledger& asked, const ReleasedStep& step, const std::string& data_set) {
    const base::Status recorded = asked.RecordStep(data_set, "job", step);
    return recorded ? base::Code::kOk : recorded.error().code;
  };
  constexpr auto kAlready = base::Code::kAlreadyExists;
  // Nothing is released of what nobody paid for.
  EXPECT_EQ(code(*ledger, StepOf(1), id), base::Code::kFailedPrecondition);
  ASSERT_TRUE(ledger->Debit(id, SpendOf(0)));
  EXPECT_EQ(*ledger->LastStep("job"), 0);
  EXPECT_EQ(code(*ledger, StepOf(0), id), kAlready);
  ASSERT_EQ(code(*ledger, StepOf(1), id), base::Code::kOk);
  EXPECT_EQ(code(*other, StepOf(1, 0), id), kAlready);
  ASSERT_EQ(code(*other, StepOf(4, 1), id), base::Code::kOk);  // those between were given up
  for (const std::int64_t step : {1, 3, 4}) {
    EXPECT_EQ(code(*ledger, StepOf(step, 4), id), kAlready);
  }
  EXPECT_EQ(*Open()->LastStep("job"), 4);
  EXPECT_EQ(*ledger->LastStep("another"), 0);
  // Nor under the name of a data set that shares the units.
  const std::string wider = Register(*ledger, Units(0, 9));
  EXPECT_EQ(code(*ledger, StepOf(4, 1), wider), kAlready);
  EXPECT_EQ(code(*ledger, StepOf(5, 4), wider), base::Code::kOk);
  EXPECT_EQ(ledger->Rows()->size(), 1U);  // it costs nothing
}

// A copy that went its own way from an earlier step has other rows under the same steps: a later
// step of it is refused too.
TEST_F(LedgerTest, AStepFollowsTheOneThatWasReleased) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 5));
  ASSERT_TRUE(ledger->Debit(id, SpendOf(0)));
  EXPECT_FALSE(ledger->RecordStep(id, "job", StepOf(3, 2)));  // of a run that another ledger knows
  ASSERT_TRUE(ledger->RecordStep(id, "job", StepOf(1)));
  EXPECT_EQ(ledger->RecordStep(id, "job", StepOf(3, 2)).error().code, base::Code::kAlreadyExists);
  EXPECT_EQ(ledger->RecordStep(id, "job", {2, {7}, {StepMark{}, StepMark{}}}).error().code,
            base::Code::kAlreadyExists);
  EXPECT_EQ(*ledger->LastStep("job"), 1);
  // Either mark that the state knows of will do.
  EXPECT_TRUE(ledger->RecordStep(id, "job", {2, {2}, {StepMark{9}, StepMark{1}}}));
  EXPECT_TRUE(ledger->RecordStep(id, "job", {3, {3}, {StepMark{2}, StepMark{1}}}));
}

// Epsilon begins at what the order costs; the share says how much of the budget is gone.
TEST_F(LedgerTest, TheShareOfTheBudgetGrowsInProportion) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 5));
  EXPECT_EQ(ledger->Spent(id)->share, 0);
  const std::int64_t most = Affordable(1, 0.05);
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1, 1, most / 4)));
  EXPECT_NEAR(ledger->Spent(id)->share, 0.25, 0.02);
  ASSERT_TRUE(ledger->Debit(id, SpendOf(2, 1, most / 4)));
  EXPECT_NEAR(ledger->Spent(id)->share, 0.5, 0.02);
  EXPECT_GT(ledger->Spent(id)->epsilon, 0.6 * kBudget.epsilon);
}

}  // namespace
}  // namespace cloister::dp
