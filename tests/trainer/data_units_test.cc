// Which records are whose, and what a privacy ledger knows them by.
#include "trainer/data/data_units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/trainer/data_case.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

std::string HexOf(std::string_view bytes) {
  return security::Hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::vector<std::string> Keys(const RecordFile& file, dp::PrivacyUnit unit) {
  const dp::UnitSource source = LedgerKeys(file, unit);
  std::vector<std::string> keys;
  while (const auto key = source().value()) keys.push_back(HexOf(key->key));
  return keys;
}

bool ShareKey(const std::vector<std::string>& some, const std::vector<std::string>& others) {
  return std::any_of(some.begin(), some.end(), [&](const std::string& key) {
    return std::find(others.begin(), others.end(), key) != others.end();
  });
}

TEST(DataUnits, RecordsOfOneUserStandTogether) {
  const auto file = Open(
      Write(RecordOf("\"ann\"", "a") + RecordOf("\"bob\"", "b") + RecordOf("\"ann\"", "c")), true);
  const auto users = DataUnits::Of(*file, dp::PrivacyUnit::kUser);
  ASSERT_TRUE(users) << users.error().message;
  ASSERT_EQ(users->size(), 2);
  EXPECT_THAT(users->records(0), testing::ElementsAre(0, 2));
  EXPECT_THAT(users->records(1), testing::ElementsAre(1));
  const auto keys = Keys(*file, dp::PrivacyUnit::kUser);
  EXPECT_EQ(std::set(keys.begin(), keys.end()).size(), 8U);  // three records, their rows, two names
  const auto records = DataUnits::Of(*file, dp::PrivacyUnit::kRecord);
  EXPECT_EQ(records->size(), 3);
  EXPECT_THAT(records->records(2), testing::ElementsAre(2));
  EXPECT_EQ(Keys(*file, dp::PrivacyUnit::kRecord), std::vector(keys.begin(), keys.begin() + 6));
  const dp::UnitSource source = LedgerKeys(*file, dp::PrivacyUnit::kUser);
  std::vector<std::string> owners;
  while (const auto key = source().value()) owners.push_back(HexOf(key->owner));
  const std::string ann = security::Hex(HashOfUnit("ann")), bob = security::Hex(HashOfUnit("bob"));
  EXPECT_THAT(owners, testing::ElementsAre(ann, ann, bob, bob, ann, ann, "", ""));
}

// No recipe for the same file is a file of its own.
TEST(DataUnits, ARowIsKnownHoweverItIsRead) {
  const std::string line =
      R"({"instruction": "Is it?", "input": "The moon, 1969.", "output": "Yes; \"it\" is."})";
  const auto keys = [&](const std::string& text, const DataLayout& layout) {
    const auto file = RecordFile::Open(Write(text + "\n"), {.layout = layout, .units = false});
    EXPECT_TRUE(file) << file.error().message;
    return Keys(*file, dp::PrivacyUnit::kRecord);
  };
  DataLayout instruction;
  instruction.format = DataFormat::kInstruction;
  const auto known = keys(line, instruction);
  ASSERT_EQ(known.size(), 2U);
  DataLayout no_input = instruction, input_first = instruction, answers, lines, table;
  no_input.columns.input = "nosuch";
  input_first.columns.instruction = "input";
  input_first.columns.input = "instruction";
  answers.format = lines.format = DataFormat::kText;
  answers.columns.text = "output";
  for (const DataLayout& layout : {no_input, input_first, answers, lines}) {
    EXPECT_TRUE(ShareKey(keys(line, layout), known));
    EXPECT_TRUE(ShareKey(keys(" \t" + line, layout), known));
  }
  // Rewritten: other spacing, other keys, another format.
  EXPECT_TRUE(ShareKey(
      keys(R"({"output":"Yes;  \"it\" is. ","instruction":"Is it?","input":" The moon, 1969."})",
           instruction),
      known));
  table.format = DataFormat::kCsv;
  EXPECT_TRUE(ShareKey(keys("output,input,instruction\n\"Yes; \"\"it\"\" is.\",\"The moon, "
                            "1969.\",Is it?",
                            table),
                       known));
  EXPECT_FALSE(
      ShareKey(keys(R"({"instruction": "Is it?", "input": "The sun, 1969.", "output": "Yes."})",
                    instruction),
               known));
}

// What ledgers know records and users by: another hash would be a fresh budget.
TEST(DataUnits, LedgersKnowRecordsByTheHashThatTheyEverHad) {
  const auto file = Open(Write(RecordOf("\"ann\"", "a")), true);
  security::Sha256 record, user;
  record.Update("4:user1:a");
  user.Update("user:ann");
  const std::string row = "8e1040958a9f659fa7dd1fca042bccd2";
  RowWords words;
  words.Add("USER: a (Ann)");
  EXPECT_EQ(security::Hex(words.Finish().value()), row);
  EXPECT_THAT(
      Keys(*file, dp::PrivacyUnit::kUser),
      testing::ElementsAre(security::Hex(record.Finish()), row, security::Hex(user.Finish())));
}

TEST(DataUnits, ALineWithoutItsUserIsNamed) {
  for (const std::string& unit : {std::string("\"\""), std::string("3"), std::string("null"),
                                  "\"" + std::string(RecordFile::kMaxUnitName + 1, 'x') + "\""}) {
    const auto file = Open(Write(RecordOf("\"ann\"", "a") + RecordOf(unit, "b")), true);
    const auto users = DataUnits::Of(*file, dp::PrivacyUnit::kUser);
    ASSERT_FALSE(users) << unit;
    EXPECT_EQ(users.error().code, base::Code::kDataLoss);
    EXPECT_THAT(users.error().message, HasSubstr("data_test.jsonl:2: field 'unit'"));
    EXPECT_TRUE(DataUnits::Of(*file, dp::PrivacyUnit::kRecord));
  }
}

TEST(DataUnits, AUserMayHaveAHundredThousandRecords) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += RecordOf("\"ann\"", std::to_string(i));
  const auto file = Open(Write(text + RecordOf("\"bob\"", "b")), true);
  const auto users = DataUnits::Of(*file, dp::PrivacyUnit::kUser);
  ASSERT_EQ(users->size(), 2);
  EXPECT_EQ(users->records(0).size(), 100'000U);
  EXPECT_THAT(users->records(1), testing::ElementsAre(100'000));
}

}  // namespace
}  // namespace cloister::trainer
