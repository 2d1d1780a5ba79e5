#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "dp/ledger/ledger.h"
#include "tests/base/own_path.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/run/training_run.h"

namespace cloister::trainer {

namespace fs = std::filesystem;
using testing::HasSubstr;

inline constexpr std::int64_t kSteps = 8;

// Runs of twenty records on a tiny model, with checkpoints every two steps.
class ResumeTest : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    WriteTinyChatModel(folder_ / "model");
    WriteRecords("train.jsonl", 20);
    recipe_.model = folder_ / "model";
    recipe_.output = folder_ / "out";
    recipe_.data = {.train = folder_ / "train.jsonl", .eval = {}, .max_tokens = 60};
    recipe_.lora = model::LoraConfig{.rank = 2, .alpha = 4, .targets = {"q_proj", "v_proj"}};
    recipe_.optimizer.learning_rate = 1e-2;
    recipe_.training = {
        .steps = kSteps, .batch_size = 3, .seed = 5, .micro_batch_tokens = 128, .threads = 1};
    recipe_.checkpoints = {.folder = folder_ / "checkpoints", .every = 2};
  }

  void WriteRecords(const std::string& name, int count) const {
    std::ofstream file(folder_ / name);
    for (int i = 0; i < count; ++i) {
      file << R"({"messages": [{"role": "user", "content": ")" << i
           << R"("}, {"role": "assistant", "content": "number )" << i * i << "\"}]}\n";
    }
  }

  void MakePrivate() {
    recipe_.training.batch_size = 0;
    recipe_.privacy = {.noise_multiplier = 2,
                       .target_epsilon = {},
                       .delta = 1e-3,
                       .clip_norm = 0.5,
                       .sampling_rate = 0.3,
                       .unit = dp::PrivacyUnit::kRecord,
                       .neighbours = dp::Neighbours::kAddOrRemoveOne,
                       .nominal_units = 20,
                       .nominal_tokens = 30,
                       .ledger = folder_ / "ledger.sqlite",
                       .budget_epsilon = 50,
                       .budget_delta = 1e-2};
  }
  void MakeMatrix() {
    MakePrivate();
    recipe_.training.batch_size = 5;
    recipe_.privacy->sampling_rate = 0;
    recipe_.privacy->neighbours = dp::Neighbours::kZeroOut;
    recipe_.privacy->matrix =
        Recipe::MatrixFactorization{.bands = 3, .min_separation = 4, .max_participations = 2};
  }

  // Until so many steps are shown; all events.
  base::Status Run(std::int64_t until, bool resume = false) {
    events_.clear();
    std::int64_t shown = 0;
    RunOptions options;
    options.stop = [&] { return shown >= until; };
    if (resume) options.resume = folder_ / "checkpoints";
    return RunTraining(
        recipe_,
        [&](const nlohmann::ordered_json& event) {
          if (event["event"] == "step") ++shown;
          events_.push_back(event);
        },
        options);
  }
  std::string Adapter() const {
    return base::ReadFile(recipe_.output / "adapter_model.safetensors").value();
  }
  std::vector<dp::Ledger::Row> Rows() const {
    return dp::Ledger::OpenReadOnly(recipe_.privacy->ledger).value()->Rows().value();
  }
  std::vector<std::int64_t> Rounds() const {
    std::vector<std::int64_t> rounds;
    const std::vector<dp::Ledger::Row> rows = Rows();
    for (const auto& row : rows) rounds.push_back(row.spend.key.round);
    std::sort(rounds.begin(), rounds.end());
    return rounds;
  }
  std::set<std::string> Jobs() const {
    std::set<std::string> jobs;
    const std::vector<dp::Ledger::Row> rows = Rows();
    for (const auto& row : rows) jobs.insert(row.spend.key.job);
    return jobs;
  }
  void ExpectRefusedToResume(base::Code code, const std::string& words) {
    const base::Status status = Run(kSteps, true);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, code) << status.error().message;
    EXPECT_THAT(status.error().message, HasSubstr(words));
    EXPECT_FALSE(fs::exists(recipe_.output));
  }

  Recipe recipe_;
  std::vector<nlohmann::ordered_json> events_;
};

}  // namespace cloister::trainer
