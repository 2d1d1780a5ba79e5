// Whole runs over a base in blocks: what they leave, what they refuse, and how they go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/adapter.h"
#include "model/model_files.h"
#include "tests/trainer/recipe_case.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/run/resolve_targets.h"
#include "trainer/run/training_run.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::int64_t kSteps = 6;

class QloraRun : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    WriteTinyChatModel(folder_ / "model");
    std::ofstream file(folder_ / "train.jsonl");
    for (int i = 0; i < 12; ++i) {
      file << R"({"messages": [{"role": "user", "content": ")" << i
           << R"("}, {"role": "assistant", "content": "number )" << i * i << "\"}]}\n";
    }
  }

  // configs/qlora.yaml on this test's files.
  Recipe TheRecipe(std::vector<std::string> overrides = {}) const {
    std::vector<std::string> all = {"model=" + (folder_ / "model").string(),
                                    "output=" + (folder_ / "out").string(),
                                    "data.train=" + (folder_ / "train.jsonl").string(),
                                    "data.eval=" + (folder_ / "train.jsonl").string(),
                                    "data.max_tokens=60",
                                    "lora.rank=2",
                                    "optimizer.learning_rate=1e-2",
                                    "training.threads=1",
                                    "training.batch_size=4",
                                    "training.steps=" + std::to_string(kSteps)};
    all.insert(all.end(), overrides.begin(), overrides.end());
    auto recipe = Load("qlora.yaml", all);
    EXPECT_TRUE(recipe) << recipe.error().message;
    return *std::move(recipe);
  }
  std::vector<std::string> Private() const {
    return {"training.batch_size=null", "training.seed=null", "data.eval=null",
            "training.eval_every=0",
            "privacy={noise_multiplier: 2, delta: 1.0e-3, clip_norm: 0.5, sampling_rate: 0.4, "
            "unit: record, neighbours: add-or-remove-one, nominal_units: 12, nominal_tokens: 30, "
            "budget_epsilon: 50, budget_delta: 1.0e-2, ledger: " +
                (folder_ / "ledger.sqlite").string() + "}"};
  }

  base::Status Run(const Recipe& recipe, std::int64_t until = kSteps, bool resume = false) {
    events_.clear();
    std::int64_t shown = 0;
    RunOptions options;
    options.stop = [&] { return shown >= until; };
    if (resume) options.resume = recipe.checkpoints->folder;
    return RunTraining(
        recipe,
        [&](const nlohmann::ordered_json& event) {
          if (event["event"] == "step") ++shown;
          events_.push_back(event);
        },
        options);
  }
  std::vector<double> HeldOut() const {
    std::vector<double> losses;
    for (const auto& event : events_) {
      if (event["event"] == "eval") losses.push_back(event["loss"]);
    }
    return losses;
  }
  std::string Adapter() const {
    return base::ReadFile(folder_ / "out/adapter_model.safetensors").value();
  }

  std::vector<nlohmann::ordered_json> events_;
};

TEST_F(QloraRun, LearnsAndLeavesAnAdapterInPeftsForm) {
  for (const char* const quantization : {"nf4", "q4_0", "q8_0"}) {
    fs::remove_all(folder_ / "out");
    const auto ran = Run(TheRecipe({std::string("quantization=") + quantization}), kSteps + 1);
    ASSERT_TRUE(ran) << ran.error().message;
    ASSERT_GE(HeldOut().size(), 2U);
    EXPECT_LT(HeldOut().back(), HeldOut().front() - 0.05) << quantization;
    const auto files = model::ModelFiles::Open(folder_ / "model").value();
    const auto adapter = model::LoadAdapter(folder_ / "out", files->architecture().value());
    ASSERT_TRUE(adapter) << adapter.error().message;
    const auto config =
        nlohmann::json::parse(base::ReadFile(folder_ / "out/adapter_config.json").value());
    EXPECT_EQ(config["lora_dropout"], TheRecipe().lora->dropout);
    EXPECT_EQ(config["target_modules"].size(), 7U);  // all-linear
    // What was resolved is written: method, quantization and targets.
    const std::string yaml = base::ReadFile(folder_ / "out/recipe.yaml").value();
    EXPECT_THAT(yaml, HasSubstr("method: qlora"));
    EXPECT_THAT(yaml, HasSubstr(std::string("quantization: ") + quantization));
    EXPECT_THAT(yaml, HasSubstr("targets: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj"));
  }
}

TEST_F(QloraRun, PrivateRunsTakeIt) {
  const auto ran = Run(TheRecipe(Private()), kSteps + 1);
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_GT(events_.back()["epsilon"].get<double>(), 0);
  EXPECT_EQ(events_.back()["steps"], kSteps);
}

TEST_F(QloraRun, DropsInTrainingWhatTheSeedAndTheStepSay) {
  const auto adapter = [&](std::vector<std::string> overrides) {
    fs::remove_all(folder_ / "out");
    const auto ran = Run(TheRecipe(std::move(overrides)), kSteps + 1);
    EXPECT_TRUE(ran) << ran.error().message;
    return Adapter();
  };
  const std::string dropped = adapter({"lora.dropout=0.3"});
  EXPECT_EQ(adapter({"lora.dropout=0.3"}), dropped);
  EXPECT_EQ(adapter({"lora.dropout=0.3", "training.activation_checkpointing=false"}), dropped);
  EXPECT_NE(adapter({"lora.dropout=0"}), dropped);
}

TEST_F(QloraRun, GoesOnToTheBitWithDropout) {
  const Recipe recipe =
      TheRecipe({"lora.dropout=0.3", "training.eval_every=0",
                 "checkpoints={every: 2, folder: " + (folder_ / "checkpoints").string() + "}"});
  ASSERT_TRUE(Run(recipe, kSteps + 1));
  const std::string whole = Adapter();
  for (const std::int64_t stop : {1, 3}) {
    fs::remove_all(folder_ / "out");
    fs::remove_all(folder_ / "checkpoints");
    ASSERT_FALSE(Run(recipe, stop));
    const auto ended = Run(recipe, kSteps + 1, /*resume=*/true);
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(Adapter(), whole) << "stopped after " << stop;
  }
  // Over another base it is another run.
  fs::remove_all(folder_ / "out");
  Recipe other = recipe;
  other.training.compute.base = BaseWeights::kQ8_0;
  EXPECT_FALSE(Run(other, kSteps + 1, /*resume=*/true));
}

// Neither is a silent success.
TEST_F(QloraRun, AnAdapterThatEndsUnchangedOrNotFiniteIsAnError) {
  for (const bool is_private : {false, true}) {
    auto overrides = is_private ? Private() : std::vector<std::string>{};
    overrides.emplace_back("optimizer.learning_rate=100");
    overrides.emplace_back("optimizer.weight_decay=10");  // a thousandfold a step
    overrides.emplace_back("training.steps=60");
    const base::Status burst = Run(TheRecipe(overrides), 61);
    if (!burst) {
      EXPECT_EQ(burst.error().code, base::Code::kFailedPrecondition) << burst.error().message;
      EXPECT_THAT(burst.error().message, HasSubstr("finite"));
      EXPECT_FALSE(fs::exists(folder_ / "out"));
    } else {
      ADD_FAILURE() << "the adapter stayed finite: the test shows nothing";
    }
    fs::remove_all(folder_ / "out");
  }
  const base::Status unchanged =
      Run(TheRecipe({"optimizer={name: sgd, learning_rate: 1.0e-60}"}), kSteps + 1);
  ASSERT_FALSE(unchanged);
  EXPECT_EQ(unchanged.error().code, base::Code::kFailedPrecondition);
  EXPECT_THAT(unchanged.error().message, HasSubstr("the adapter ended as it began"));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(QloraRun, TargetsMayBeAllLinearLayersOrAnExpression) {
  const auto resolved = [&](const std::string& targets, std::int64_t first = 0) {
    return ResolveTargets(
        TheRecipe({"lora.targets=" + targets, "lora.first_layer=" + std::to_string(first)}));
  };
  const auto all = resolved("all-linear", 1);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->lora->targets.size(), 7U);
  EXPECT_EQ(all->lora->first_layer, 1);
  EXPECT_EQ(ToYaml(*LoadText(ToYaml(*all))), ToYaml(*all));
  const auto some = resolved("\".*layers.1..*(q|up)_proj\"");
  ASSERT_TRUE(some) << some.error().message;
  EXPECT_EQ(some->lora->targets, (std::vector<std::string>{"q_proj", "up_proj"}));
  EXPECT_EQ(some->lora->first_layer, 1);
  const auto listed = resolved("[v_proj]");
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->lora->targets, std::vector<std::string>{"v_proj"});
  // A name alone is no whole name, as in PEFT; a layer may not be left out; a bracket is missing.
  for (const auto& [targets, words] : std::vector<std::pair<std::string, std::string>>{
           {"v_proj", "match no linear layer"},
           {"\".*layers.0.*q_proj\"", "leave out model.layers.1.self_attn.q_proj"},
           {"\".*(q_proj\"", "lora.targets"}}) {
    ExpectFault(resolved(targets), HasSubstr(words));
    EXPECT_THAT(Run(TheRecipe({"lora.targets=" + targets})).error().message, HasSubstr(words));
  }
}

TEST(Recipe, QloraNamesItsQuantization) {
  const auto qlora = Load("qlora.yaml", {});
  ASSERT_TRUE(qlora) << qlora.error().message;
  EXPECT_EQ(qlora->training.compute.base, BaseWeights::kNf4);
  EXPECT_EQ(Load("qlora.yaml", {"quantization=q8_0"})->training.compute.base, BaseWeights::kQ8_0);
  EXPECT_EQ(Load("qlora.yaml", {"quantization=q4_0"})->training.compute.base, BaseWeights::kQ4_0);
  // NF4 is the method's own.
  EXPECT_EQ(Load("qlora.yaml", {"quantization=null"})->training.compute.base, BaseWeights::kNf4);
  EXPECT_EQ(Load("lora.yaml", {})->training.compute.base, BaseWeights::kDense);
  EXPECT_EQ(Load("lora.yaml", {"method=lora"})->training.compute.base, BaseWeights::kDense);
  ExpectFault(Load("qlora.yaml", {"quantization=int4"}), HasSubstr("nf4, q4_0 or q8_0"));
  ExpectFault(Load("lora.yaml", {"quantization=nf4"}), HasSubstr("goes with 'method: qlora'"));
  ExpectFault(Load("full.yaml", {"quantization=nf4"}), HasSubstr("goes with 'method: qlora'"));
  ExpectFault(Load("qlora.yaml", {"lora=null"}), HasSubstr("'lora' is missing"));
  ExpectFault(Load("qlora.yaml", {"lora.dropout=1"}), HasSubstr("'lora.dropout' must be"));
  const std::string yaml = ToYaml(*qlora);
  EXPECT_EQ(ToYaml(*LoadText(yaml)), yaml);
  for (const char* const change : {"quantization=q8_0", "lora.dropout=0.2", "lora.use_rslora=true",
                                   "lora.targets=[q_proj]", "method=lora"}) {
    std::vector<std::string> overrides = {change};
    if (overrides[0] == "method=lora") overrides.emplace_back("quantization=null");
    EXPECT_NE(PinnedRecipe(*Load("qlora.yaml", overrides)), PinnedRecipe(*qlora)) << change;
  }
}

}  // namespace
}  // namespace cloister::trainer
