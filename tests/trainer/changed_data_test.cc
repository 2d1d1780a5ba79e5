// A training file that is changed while a run reads it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "tests/base/own_path.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/run/training_run.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

class ChangedDataTest : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    WriteTinyChatModel(folder_ / "model");
    recipe_.model = folder_ / "model";
    recipe_.output = folder_ / "out";
    recipe_.data = {.train = folder_ / "train.jsonl", .eval = {}, .max_tokens = 60};
    recipe_.lora = model::LoraConfig{.rank = 2, .alpha = 4, .targets = {"q_proj"}};
    recipe_.optimizer.learning_rate = 1e-2;
    recipe_.training = {.steps = 4, .batch_size = 5, .micro_batch_tokens = 128, .threads = 1};
    recipe_.checkpoints = {.folder = folder_ / "checkpoints", .every = 1};
    EXPECT_TRUE(base::WriteFile(recipe_.data.train, Records("it is ")));
  }

  static std::string Records(const std::string& answer) {
    std::string text;
    for (int i = 0; i < 20; ++i) {
      text += R"({"messages": [{"role": "user", "content": "?"}, )"
              R"({"role": "assistant", "content": ")" +
              answer + std::to_string(i) + "\"}]}\n";
    }
    return text;
  }

  // Does something to the file once the first step is done.
  template <typename Change>
  base::Status Run(const Change& change) {
    return RunTraining(recipe_,
                       [&](const nlohmann::ordered_json& event) {
                         if (event["event"] == "step" && event["step"] == 1) change();
                       },
                       {});
  }

  Recipe recipe_;
};

TEST_F(ChangedDataTest, EndsTheRunAndKeepsItsCheckpoint) {
  const base::Status status =
      Run([&] { std::ofstream(recipe_.data.train, std::ios::trunc) << Records("it was"); });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::Code::kDataLoss);
  EXPECT_THAT(status.error().message, HasSubstr("train.jsonl:"));
  EXPECT_THAT(status.error().message, HasSubstr("changed since the run began"));
  EXPECT_FALSE(std::filesystem::exists(recipe_.output));
  EXPECT_FALSE(std::filesystem::is_empty(folder_ / "checkpoints"));
}

TEST_F(ChangedDataTest, IsNoticedWhereItWasCutShort) {
  EXPECT_THAT(Run([&] { std::filesystem::resize_file(recipe_.data.train, 10); }).error().message,
              HasSubstr("changed since the run began"));
}

TEST_F(ChangedDataTest, IsAnotherFileWhereOneIsRenamedOverIt) {
  EXPECT_TRUE(Run([&] { EXPECT_TRUE(base::WriteFile(recipe_.data.train, "another")); }));
  EXPECT_TRUE(std::filesystem::exists(recipe_.output));
}

}  // namespace
}  // namespace cloister::trainer
