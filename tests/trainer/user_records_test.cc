// Which of a user's records take part in a private step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "tests/base/own_path.h"
#include "trainer/data/record_file.h"
#include "trainer/run/private_side.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kMany = 12;  // records of ann, from line 2 on; bob has line 1, eve two

class UserRecords : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    std::ofstream file(folder_ / "train.jsonl");
    const auto write = [&](const char* user, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        file << R"({"text": ")" << user << i << R"(", "unit": ")" << user << "\"}\n";
      }
    };
    write("bob", 1);
    write("ann", kMany);
    write("eve", 2);
    recipe_.data.train = folder_ / "train.jsonl";
    recipe_.data.layout = {.format = DataFormat::kText, .columns = {.text = "text"}};
    recipe_.training.steps = 3;
    recipe_.privacy = {.noise_multiplier = 3,
                       .target_epsilon = {},
                       .delta = 1e-6,
                       .clip_norm = 0.25,
                       .sampling_rate = 1,
                       .unit = dp::PrivacyUnit::kUser,
                       .neighbours = dp::Neighbours::kAddOrRemoveOne,
                       .nominal_units = 3,
                       .ledger = folder_ / "ledger",
                       .budget_epsilon = 50,
                       .budget_delta = 1e-5};
  }

  PrivateSide Open() {
    const PrivacyPlan plan = MakePrivacyPlan(*recipe_.privacy, 3, 100, 2).value();
    const auto train =
        RecordFile::Open(recipe_.data.train, {.layout = recipe_.data.layout, .units = true});
    auto side = PrivateSide::Open(recipe_, plan, *train, none_, *alone_);
    EXPECT_TRUE(side) << side.error().message;
    return std::move(side).value();
  }

  Recipe recipe_;
  RunCheckpoints none_;
  std::unique_ptr<Ranks> alone_ = OneRank();
};

TEST_F(UserRecords, AreAllOfThemUnlessTheRecipeSaysOtherwise) {
  PrivateSide side = Open();
  const auto drawn = side.Draw();
  ASSERT_EQ(drawn.size(), 3U);
  EXPECT_THAT(drawn[0], testing::ElementsAre(0));
  EXPECT_EQ(drawn[1].size(), static_cast<std::size_t>(kMany));
  EXPECT_THAT(drawn[2], testing::ElementsAre(kMany + 1, kMany + 2));
}

TEST_F(UserRecords, AreAFewThatAreDrawnAnewEachTime) {
  recipe_.privacy->max_records_per_unit = 3;
  PrivateSide side = Open();
  constexpr int kDraws = 4000;
  std::map<std::int64_t, int> counts;
  for (int draw = 0; draw < kDraws; ++draw) {
    const auto drawn = side.Draw();
    ASSERT_EQ(drawn.size(), 3U);
    EXPECT_THAT(drawn[0], testing::ElementsAre(0));
    EXPECT_THAT(drawn[2], testing::ElementsAre(kMany + 1, kMany + 2));
    ASSERT_EQ(drawn[1].size(), 3U);
    EXPECT_TRUE(std::is_sorted(drawn[1].begin(), drawn[1].end()));
    for (const std::int64_t record : drawn[1]) {
      EXPECT_TRUE(record >= 1 && record <= kMany);
      ++counts[record];
    }
  }
  // Each as often as any other: the first few alone would be another user's data set.
  ASSERT_EQ(counts.size(), static_cast<std::size_t>(kMany));
  const double expected = kDraws * 3.0 / kMany;
  for (const auto& [record, count] : counts) {
    EXPECT_NEAR(count, expected, 6 * std::sqrt(expected)) << record;
  }
}

}  // namespace
}  // namespace cloister::trainer
