#include <algorithm>
#include <string>

#include "base/file.h"
#include "dp/ledger/ledger_store.h"
#include "dp/ledger/seal.h"
#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

constexpr auto kLost = base::Code::kDataLoss;

// Two sets that share units, with spends on both, one of them with a figure of its own, and steps.
class LedgerSealTest : public LedgerTest {
 protected:
  LedgerSealTest() {
    {
      const auto ledger = Open();
      id_ = Register(*ledger, Units(0, 50));
      Spend spend = SpendOf(1);
      spend.own_noise_only = spend.event;
      spend.own_noise_only->noise_multiplier = 0.7;
      EXPECT_TRUE(ledger->Debit(id_, spend));
      EXPECT_TRUE(ledger->Debit(Register(*ledger, Units(49, 60)), SpendOf(2)));
      EXPECT_TRUE(ledger->Debit(id_, SpendOf(3, 2)));
      EXPECT_TRUE(ledger->RecordStep(id_, "job", StepOf(1)));
      EXPECT_TRUE(ledger->RecordStep(id_, "job", StepOf(2)));
    }
    good_ = *base::ReadFile(path_);
  }

  void PutBack(const std::string& bytes) { ASSERT_TRUE(base::WriteFile(path_, bytes)); }

  base::Code ReadOnlyError() {
    const auto reader = Ledger::OpenReadOnly(path_);
    return reader ? base::Code::kOk : reader.error().code;
  }

  std::string id_;
  std::string good_;
};

// Whatever would make the stated epsilon too small, or would let a draw or a step out again.
TEST_F(LedgerSealTest, WhoHasNoKeyChangesNothing) {
  ASSERT_EQ(OpenError(), base::Code::kOk);
  // Statements of two halves are meant. NOLINTBEGIN(bugprone-suspicious-missing-comma)
  for (const char* const sql : {
           // Changed.
           R"(UPDATE spends SET event = replace(event, '"noise_multiplier":1.0',
                                                        '"noise_multiplier":9.0'))",
           R"(UPDATE spends SET event = '{"noise_multiplier":9.0,' || substr(event, 2))",
           "UPDATE spends SET own_event = NULL",
           "UPDATE spends SET round = round + 7",
           "UPDATE spends SET job = 'another' WHERE round = 2",
           "UPDATE spends SET data_set = 'another' WHERE round = 2",
           "UPDATE spends SET time = CAST(time AS BLOB)",
           "UPDATE budgets SET epsilon = 400",
           "UPDATE budgets SET delta = 0.1",
           "UPDATE data_sets SET unit = 'user'",
           "UPDATE data_sets SET units = 0",
           "UPDATE orders SET alpha = 2",
           "UPDATE released_steps SET step = 0 WHERE step = 2",
           "UPDATE released_steps SET mark = zeroblob(16)",
           // Removed.
           "DELETE FROM spends",
           "DELETE FROM spends WHERE round = 3",
           "DELETE FROM overlaps",
           "DELETE FROM overlaps WHERE entry = (SELECT max(entry) FROM overlaps)",
           "DELETE FROM orders",
           "DELETE FROM data_sets WHERE entry > 1",
           "DELETE FROM budgets WHERE entry > 2",
           "DELETE FROM released_steps WHERE step = 2",
           "DELETE FROM released_steps WHERE step = 2; UPDATE seal SET entries = entries - 1",
           // Added: at the end, before the beginning, in a place that is taken.
           "INSERT INTO budgets SELECT 1000, data_set, 400, 0.1 FROM budgets LIMIT 1",
           "INSERT INTO budgets SELECT entries + 1, id, 400, 0.1 FROM seal, data_sets LIMIT 1",
           "INSERT INTO budgets SELECT entries + 1, id, 400, 0.1 FROM seal, data_sets LIMIT 1; "
           "UPDATE seal SET entries = entries + 1",
           "INSERT INTO budgets SELECT -9223372036854775808, id, 400, 0.1 FROM data_sets LIMIT 1",
           "INSERT INTO orders SELECT 1, id, 2 FROM data_sets LIMIT 1",
           "INSERT INTO released_steps VALUES(0, 'other', 1, zeroblob(16))",
           // Reordered.
           "UPDATE spends SET entry = -entry; "
           "UPDATE spends SET entry = (SELECT min(-entry) + max(-entry) FROM spends) + entry",
           "UPDATE spends SET entry = entry + 100",
           // The seal itself, and what it is of.
           "DELETE FROM seal",
           "UPDATE seal SET chain = zeroblob(32)",
           "UPDATE seal SET chain = zeroblob(31)",
           "UPDATE seal SET entries = 0",
           "UPDATE seal SET entries = 9223372036854775807",
           "CREATE INDEX one ON spends(job)",
           "ALTER TABLE spends ADD COLUMN note TEXT",
           "CREATE TABLE notes(text TEXT)",
           "DROP TABLE released_steps",
       }) {
    // NOLINTEND(bugprone-suspicious-missing-comma)
    PutBack(good_);
    Tamper(sql);
    EXPECT_EQ(OpenError(), kLost) << sql;
    EXPECT_EQ(ReadOnlyError(), kLost) << sql;
  }
}

// What a write that was cut short may leave where its journal was taken away: any of its pages. It
// is the state before, the one after, or no ledger.
TEST_F(LedgerSealTest, APartOfAWriteIsNoState) {
  constexpr std::size_t kPage = 4096;
  ASSERT_TRUE(Open()->RecordStep(id_, "job", StepOf(3)));
  const std::string after = *base::ReadFile(path_);
  ASSERT_EQ(after.size(), good_.size());
  std::vector<std::size_t> changed;
  for (std::size_t at = 0; at < after.size(); at += kPage) {
    if (after.compare(at, kPage, good_, at, kPage) != 0) changed.push_back(at);
  }
  ASSERT_GE(changed.size(), 4U);  // head, seal, steps and their index
  ASSERT_LE(changed.size(), 8U);
  int refused = 0;
  int by_the_seal = 0;  // where SQLite finds nothing wrong
  for (unsigned written = 0; written < 1U << changed.size(); ++written) {
    std::string bytes = good_;
    for (std::size_t i = 0; i < changed.size(); ++i) {
      if ((written >> i & 1) != 0) bytes.replace(changed[i], kPage, after, changed[i], kPage);
    }
    PutBack(bytes);
    const auto ledger = Ledger::Open(path_);
    if (ledger) {
      const bool whole =
          written >> 1 == (1U << changed.size()) / 2 - 1;  // all but the head's counter
      EXPECT_TRUE(whole || written <= 1) << written;
      EXPECT_EQ((*ledger)->LastStep("job").value(), whole ? 3 : 2) << written;
      continue;
    }
    EXPECT_EQ(ledger.error().code, kLost);
    ++refused;
    by_the_seal += ledger.error().message.find("not as it was written") != std::string::npos;
  }
  EXPECT_EQ(refused, (1 << changed.size()) - 4);
  EXPECT_GE(by_the_seal, 4);
}

TEST_F(LedgerSealTest, SaysWhatToDo) {
  Tamper("DELETE FROM spends");
  const auto refused = Ledger::Open(path_);
  ASSERT_FALSE(refused);
  for (const std::string& said :
       {path_.string(), std::string("restore the newest backup, and never one that has fewer")}) {
    EXPECT_NE(refused.error().message.find(said), std::string::npos) << refused.error().message;
  }
}

// Each bit says something that the seal or SQLite's own check covers, or nothing at all.
TEST_F(LedgerSealTest, NoFlippedBitLowersWhatWasSpent) {
  double spent = 0;
  {
    const auto ledger = Open();
    spent = ledger->Spent(id_)->epsilon;
  }
  int refused = 0;
  int tried = 0;
  for (std::size_t at = 100; at < good_.size(); at += 211) {
    std::string bytes = good_;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    PutBack(bytes);
    ++tried;
    const auto reader = Ledger::OpenReadOnly(path_);
    if (!reader) {
      ++refused;
      continue;
    }
    const auto total = (*reader)->Spent(id_);
    ASSERT_TRUE(total) << at;
    EXPECT_EQ(total->epsilon, spent) << at;
    EXPECT_EQ(total->budget, kBudget.epsilon) << at;
    EXPECT_EQ((*reader)->Rows()->size(), 3U) << at;
  }
  EXPECT_GT(tried, 300);
  EXPECT_GT(refused, 5);  // most of the file is empty
}

// Rows are sealed and looked up through indexes: a set that is not found in one would be new.
TEST_F(LedgerSealTest, AnIndexWithoutItsRowsIsFound) {
  std::string bytes = good_;
  int changed = 0;
  // An id stands in data_sets and its index once, in others as often as it has rows.
  for (std::size_t at = bytes.find(id_); at != std::string::npos; at = bytes.find(id_, at + 64)) {
    std::string one = bytes;
    one[at] = one[at] == 'a' ? 'b' : 'a';
    PutBack(one);
    EXPECT_EQ(OpenError(), kLost) << at;
    EXPECT_EQ(ReadOnlyError(), kLost) << at;
    ++changed;
  }
  EXPECT_GT(changed, 10);
}

TEST_F(LedgerSealTest, ALedgerThatIsOpenSeesWhatIsAddedBesideIt) {
  const auto ledger = Open();
  const auto other = Open();
  ASSERT_TRUE(other->Debit(id_, SpendOf(7)));
  EXPECT_EQ(ledger->Rows()->size(), 4U);  // another process's own rows are no damage
  Tamper(
      "INSERT INTO budgets SELECT entries + 1, data_set, 400, 0.1 FROM seal, budgets LIMIT 1; "
      "UPDATE seal SET entries = entries + 1");
  EXPECT_EQ(ledger->Rows().error().code, kLost);
  EXPECT_EQ(ledger->Debit(id_, SpendOf(8)).error().code, kLost);
  EXPECT_EQ(ledger->Spent(id_).error().code, kLost);
  EXPECT_EQ(ledger->RecordStep(id_, "job", StepOf(3)).error().code, kLost);
}

// What it does not tell: a whole that is older is as sound as it was then.
TEST_F(LedgerSealTest, AnOlderWholeLooksAsItDidThen) {
  { ASSERT_TRUE(Open()->Debit(id_, SpendOf(7))); }
  PutBack(good_);
  EXPECT_EQ(Open()->Rows()->size(), 3U);
}

TEST_F(LedgerSealTest, WhatIsRolledBackIsNotSealed) {
  const std::string key = *base::ReadFile(path_.string() + ".key");
  const security::SecretBytes secret(
      std::span(reinterpret_cast<const std::uint8_t*>(key.data()), key.size()));
  const auto database = Database::Open(path_, Database::Access::kReadWrite);
  ASSERT_TRUE(database);
  Seal seal(secret);
  const auto insert = [&](std::int64_t step, bool commit) {
    auto transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction);
    ASSERT_TRUE(seal.Verify(*database));
    ASSERT_TRUE(WriteStep(*database, seal, "job", {step, {}}));
    if (commit) {
      ASSERT_TRUE(transaction->Commit());
    }
  };
  insert(7, false);
  insert(8, true);
  insert(9, false);
  { ASSERT_TRUE(Open()->Debit(id_, SpendOf(7))); }  // another's, in the place of what was not kept
  insert(10, true);
  EXPECT_EQ(*Open()->LastStep("job"), 10);
}

TEST_F(LedgerSealTest, AnEventInAnotherSpellingIsRefused) {
  const auto database = Database::Open(path_, Database::Access::kReadOnly);
  ASSERT_TRUE(database);
  const std::string text = ToJson(SpendOf(1).event).dump();
  EXPECT_EQ(JoinedEvent(*database, text, 1).value(), SpendOf(1).event);
  for (const std::string& other :
       {"{\"noise_multiplier\":9.0," + text.substr(1),
        text.substr(0, text.size() - 1) + ",\"noise_multiplier\":9.0}", " " + text}) {
    EXPECT_EQ(JoinedEvent(*database, other, 1).error().code, kLost) << other;
  }
}

}  // namespace
}  // namespace cloister::dp
