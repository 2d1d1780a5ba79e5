// Which data sets' spends compose: those of one privacy unit and neighbour relation that divide the
// same data into the same units. And that only what was spent binds.
#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

using testing::HasSubstr;
constexpr auto kRefused = base::Code::kInvalidArgument;

base::Code CodeOf(const auto& result) { return result ? base::Code::kOk : result.error().code; }

// A user's record, and whose it is.
using Part = std::pair<std::string, std::string>;

base::Result<std::string> RegisterUsers(Ledger& ledger, const std::vector<Part>& parts) {
  std::size_t next = 0;
  const UnitSource source = [&]() -> base::Result<std::optional<UnitKey>> {
    const std::size_t index = next++;
    if (index < parts.size()) return UnitKey{parts[index].first, parts[index].second};
    if (index < 2 * parts.size()) return UnitKey{parts[index - parts.size()].second, {}};
    return std::nullopt;
  };
  return ledger.RegisterDataSet("visits", source, PrivacyUnit::kUser, Neighbours::kAddOrRemoveOne,
                                kBudget);
}

const std::vector<Part> kByPatient = {{"a", "ann"}, {"b", "ann"}, {"c", "bob"}, {"d", "eve"}};
const std::vector<Part> kByVisit = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}};

class LedgerKinds : public LedgerTest {
 protected:
  void SetUp() override {
    LedgerTest::SetUp();
    ledger_ = Open();
    id_ = *RegisterUsers(*ledger_, kByPatient);
  }
  std::unique_ptr<Ledger> ledger_;
  std::string id_;
};

TEST_F(LedgerKinds, RecordsThatWereSpentOnAsOneUsersAreNotDividedAnew) {
  ASSERT_TRUE(ledger_->Debit(id_, SpendOf(1)));
  const auto refused = RegisterUsers(*ledger_, kByVisit);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kRefused);
  EXPECT_THAT(refused.error().message, HasSubstr("another user's"));
  // One record of many is enough: files that each have another visit of every patient would pass
  // one by one.
  EXPECT_EQ(CodeOf(RegisterUsers(*ledger_, {{"a", "ann"}, {"b", "bob"}, {"c", "bob"}})), kRefused);
  EXPECT_EQ(CodeOf(RegisterUsers(*ledger_, {{"a", "1"}, {"c", "3"}, {"d", "4"}})), kRefused);
  EXPECT_EQ(CodeOf(RegisterUsers(*ledger_, {{"d", "all"}, {"z", "all"}})), kRefused);
}

TEST_F(LedgerKinds, ExtendedAndTrimmedSetsOfTheSameUsersInherit) {
  ASSERT_TRUE(ledger_->Debit(id_, SpendOf(1)));
  const double spent = ledger_->Spent(id_)->epsilon;
  ASSERT_GT(spent, 0);
  for (const std::vector<Part>& parts : std::vector<std::vector<Part>>{
           {{"a", "ann"}},
           {{"a", "ann"}, {"b", "ann"}, {"c", "bob"}, {"d", "eve"}, {"e", "ann"}, {"f", "zoe"}},
           {{"new", "bob"}},
           // Two people may say the same.
           {{"a", "ann"}, {"a", "zoe"}}}) {
    const auto other = RegisterUsers(*ledger_, parts);
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(ledger_->Spent(*other)->epsilon, spent);
  }
  const auto apart = RegisterUsers(*ledger_, {{"y", "yan"}});
  EXPECT_EQ(ledger_->Spent(*apart)->epsilon, 0);
}

// Both are registered before either spends, by two jobs at once.
TEST_F(LedgerKinds, TheFirstSpendDecidesBetweenTwoDivisions) {
  const auto visits = RegisterUsers(*ledger_, kByVisit);
  ASSERT_TRUE(visits) << visits.error().message;
  const auto other = Open();
  ASSERT_TRUE(other->Debit(*visits, SpendOf(1)));
  EXPECT_EQ(CodeOf(ledger_->CheckAffordable(id_, SpendOf(2).event)), kRefused);
  EXPECT_EQ(CodeOf(ledger_->Debit(id_, SpendOf(2))), kRefused);
  EXPECT_TRUE(ledger_->Debit(*visits, SpendOf(2)));
  EXPECT_EQ(ledger_->Rows()->size(), 2U);
  EXPECT_EQ(CodeOf(RegisterUsers(*ledger_, kByPatient)), kRefused);
}

TEST_F(LedgerKinds, OnlyWhatWasSpentDecidesUnitAndNeighbours) {
  const auto registered = [&](const std::vector<std::string>& units, PrivacyUnit unit,
                              Neighbours relation) {
    return ledger_->RegisterDataSet("notes", units, unit, relation, kBudget);
  };
  using N = Neighbours;
  // Jobs that were refused, or never came to spend.
  EXPECT_TRUE(registered(Units(0, 10), PrivacyUnit::kUser, N::kAddOrRemoveOne));
  EXPECT_TRUE(registered(Units(0, 10), PrivacyUnit::kRecord, N::kZeroOut));
  const auto id = registered(Units(0, 10), PrivacyUnit::kRecord, N::kAddOrRemoveOne);
  ASSERT_TRUE(id) << id.error().message;
  ASSERT_TRUE(ledger_->Debit(*id, SpendOf(1)));
  for (const auto& units : {Units(0, 10), Units(9, 20)}) {
    EXPECT_EQ(CodeOf(registered(units, PrivacyUnit::kUser, N::kAddOrRemoveOne)), kRefused);
    EXPECT_EQ(CodeOf(registered(units, PrivacyUnit::kRecord, N::kZeroOut)), kRefused);
    EXPECT_TRUE(registered(units, PrivacyUnit::kRecord, N::kAddOrRemoveOne));
  }
}

}  // namespace
}  // namespace cloister::dp
