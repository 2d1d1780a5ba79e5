#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "dp/ledger/ledger.h"
#include "tests/base/own_path.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/run/training_run.h"

namespace cloister::trainer {

// Runs of a tiny model on twenty records of its own, with checkpoints.
class TinyRun : public InOwnFolder {
 protected:
  static constexpr std::int64_t kSteps = 8;

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
  base::Status Run(std::int64_t until, bool resume = false, RunProbe* probe = nullptr) {
    events_.clear();
    std::int64_t shown = 0;
    RunOptions options;
    options.stop = [&] { return shown >= until; };
    if (resume) options.resume = folder_ / "checkpoints";
    options.probe = probe;
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

  Recipe recipe_;
  std::vector<nlohmann::ordered_json> events_;
};

}  // namespace cloister::trainer
