// `cloister train` with `method: full`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dp/ledger/ledger.h"
#include "tests/model/ascii_tokenizer.h"
#include "tests/trainer/train_command_case.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// All weights of a tiny model that reads a character a token.
class FullTrainCommand : public TrainCommand, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    model_ = fixtures::WithAsciiTokenizer(
        fs::path(CLOISTER_TEST_DATA) / "models" / GetParam(), folder_ / "model",
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}");
  }

  // Where the loss of a model on the held-out rows is before anything is trained.
  double LossOf(const fs::path& model, const std::string& name) const {
    const Outcome outcome =
        Run("full.yaml",
            {"model=" + model.string(), "output=" + (folder_ / name).string(), "training.steps=1"});
    EXPECT_EQ(outcome.status, 0) << outcome.error;
    return outcome.events.at(0)["loss"].get<double>();
  }

  int Cloister(const std::string& words) const {
    return std::system((std::string(CLOISTER_BIN_DIR) + "/cloister " + words + " >" +
                        (folder_ / "stdout").string() + " 2>&1")
                           .c_str());
  }

  // A whole model that every command loads, and that has the run's last loss.
  void ExpectModel(const Outcome& outcome) const {
    ASSERT_GE(outcome.events.size(), 2U);
    const nlohmann::json& last = outcome.events[outcome.events.size() - 2];
    ASSERT_EQ(last["event"], "eval");
    EXPECT_EQ(LossOf(output(), "again"), last["loss"].get<double>());
    for (const char* file : {"config.json", "model.safetensors", "tokenizer.json",
                             "tokenizer_config.json", "recipe.yaml", "events.jsonl"}) {
      EXPECT_TRUE(fs::exists(output() / file)) << file;
    }
    EXPECT_FALSE(fs::exists(output() / "adapter_config.json"));
    const std::string model = " --model " + output().string();
    EXPECT_EQ(Cloister("model inspect --check " + output().string()), 0);
    EXPECT_EQ(Cloister("generate --chat What --max-new-tokens 3 --temperature 0" + model), 0);
    std::ofstream(folder_ / "ids.jsonl") << "{\"ids\": [1, 2, 3]}\n";
    EXPECT_EQ(Cloister("score --input " + (folder_ / "ids.jsonl").string() + model), 0);
    EXPECT_EQ(Cloister("model convert --input " + output().string() + " --output " +
                       (folder_ / "out.gguf").string()),
              0);
    EXPECT_EQ(LossOf(folder_ / "out.gguf", "again-gguf"), last["loss"].get<double>());
  }
};

TEST_P(FullTrainCommand, PlainRunLearnsAndLeavesAModel) {
  const Outcome outcome =
      Run("full.yaml", {"training.steps=12", "training.batch_size=8", "training.eval_every=0",
                        "optimizer.learning_rate=5e-3"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(outcome.events.size(), 15U);  // eval, steps, eval, done
  const double before = outcome.events[0]["loss"], after = outcome.events[13]["loss"];
  EXPECT_LT(after, before - 1);
  EXPECT_TRUE(outcome.events[1]["epsilon"].is_null());
  EXPECT_TRUE(outcome.events[1].contains("loss"));
  EXPECT_TRUE(outcome.events[14]["epsilon"].is_null());
  EXPECT_THAT(base::ReadFile(output() / "recipe.yaml").value(), HasSubstr("method: full"));
  ExpectModel(outcome);
}

TEST_P(FullTrainCommand, PrivateRunSpendsLearnsAndShowsNoTrainingLoss) {
  const Outcome outcome =
      Run("dp-full.yaml", {"training.steps=20", "training.eval_every=0", "privacy.sampling_rate=1",
                           "privacy.noise_multiplier=2", "privacy.target_epsilon=null",
                           "privacy.budget_epsilon=100", "optimizer.learning_rate=3e-3"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(outcome.events.size(), 23U);
  for (const auto& event : outcome.events) {
    EXPECT_EQ(event.contains("loss"), event["event"] == "eval");
  }
  EXPECT_LT(outcome.events[21]["loss"].get<double>(),
            outcome.events[0]["loss"].get<double>() - 0.2);
  EXPECT_GT(outcome.events[22]["epsilon"].get<double>(), 0);
  const auto ledger = dp::Ledger::OpenReadOnly(folder_ / "ledger.sqlite").value();
  EXPECT_EQ(ledger->Rows().value().size(), 20U);
  ExpectLogOf({"event", "step", "epsilon"});
  ExpectModel(outcome);
}

TEST_P(FullTrainCommand, EveryClippingStyleTrains) {
  for (const char* style :
       {"privacy.clipping=per-layer", "privacy={clipping: automatic, stability: 0.01}",
        "privacy.adaptive={quantile: 0.5, rate: 0.2, count_noise_multiplier: 3}"}) {
    fs::remove_all(output());
    const Outcome outcome =
        Run("dp-full.yaml", {"training.steps=1", "training.eval_every=0", style,
                             "privacy.target_epsilon=null", "privacy.budget_epsilon=100"});
    EXPECT_EQ(outcome.status, 0) << style << outcome.error;
  }
}

TEST_P(FullTrainCommand, AnAuditAttacksAllWeights) {
  const fs::path found = folder_ / "audit.json";
  const std::string command = std::string(CLOISTER_BIN_DIR) +
                              "/cloister-train privacy audit --json --records 4 --canaries 500 "
                              "--set data.max_tokens=48 --set training.steps=3 --set model=" +
                              model_.string() + " --config " +
                              (Root() / "configs/dp-full.yaml").string() + " >" + found.string();
  ASSERT_EQ(std::system((command + " 2>/dev/null").c_str()), 0);
  const auto verdict = nlohmann::json::parse(base::ReadFile(found).value());
  EXPECT_EQ(verdict["canaries"], 500);
  EXPECT_LE(verdict["epsilon_lower"].get<double>(), verdict["epsilon"].get<double>());
}

TEST_P(FullTrainCommand, AModelThatEndsAsItBeganIsAnError) {
  const Outcome outcome = Run("full.yaml", {"optimizer={name: sgd, learning_rate: 1.0e-60}"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.error, HasSubstr("the model ended as it began"));
  ExpectNothingWritten();
}

TEST_P(FullTrainCommand, AModelThatIsNoLongerFiniteIsAnError) {
  const Outcome outcome =
      Run("full.yaml", {"data.eval=null", "training.steps=9", "optimizer.learning_rate=100",
                        "optimizer.weight_decay=10", "optimizer.beta1=0"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.error, HasSubstr("not finite"));
  EXPECT_THAT(outcome.error, HasSubstr("optimizer.learning_rate"));
  ExpectNothingWritten();
}

INSTANTIATE_TEST_SUITE_P(Models, FullTrainCommand, testing::Values("llama", "llama-tied-rope3"),
                         [](const auto& info) {
                           return std::string(info.param == "llama" ? "OwnHead" : "TiedHead");
                         });

}  // namespace
}  // namespace cloister::cli
