// `cloister train` end to end, on the real model where models/ has it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/accountant.h"
#include "dp/ledger/ledger.h"
#include "model/adapter.h"
#include "model/merge.h"
#include "model/model_files.h"
#include "tests/trainer/tiny_chat_model.h"
#include "tests/trainer/train_command_case.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(TrainCommand, WrongRecipeKeyIsWrongUsage) {
  const Outcome outcome = Run("dp-lora.yaml", {"privacy.clipnorm=1"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.error, testing::StartsWith("error: "));
  EXPECT_THAT(outcome.error, HasSubstr("'privacy.clip_norm'"));
  EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1);
  ExpectNothingWritten();
}

TEST_F(TrainCommand, BrokenDataLineFailsAndNamesIt) {
  model_ = fs::path(CLOISTER_TEST_DATA) / "models/llama";
  std::ofstream(folder_ / "train.jsonl", std::ios::app) << "{\"messages\": 3}\n";
  const Outcome outcome = Run("dp-lora.yaml", {"lora.first_layer=0"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.error, HasSubstr("train.jsonl:21: field 'messages'"));
  ExpectNothingWritten();
}

TEST_F(TrainCommand, TruncatedModelFails) {
  model_ = folder_ / "model.gguf";
  std::ofstream(model_) << "GGUF";
  EXPECT_EQ(Run("lora.yaml", {}).status, 1);
  ExpectNothingWritten();
}

TEST_F(TrainCommand, HeldOutRecordInTheTrainingFileIsRefusedUnderPrivacy) {
  model_ = fs::path(CLOISTER_TEST_DATA) / "models/llama";
  WriteLines("eval.jsonl", 1, 5);
  const Outcome outcome = Run("dp-lora.yaml", {"lora.first_layer=0"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.error, HasSubstr("eval.jsonl:1"));
}

TEST_F(TrainCommand, PrivateRunSpendsWhatItSaysAndShowsNoTrainingLoss) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const Outcome outcome = Run("dp-lora.yaml", {"privacy.target_epsilon=null"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(outcome.events.size(), 5U);  // eval, step, step, eval, done
  EXPECT_EQ(outcome.events[0]["event"], "eval");
  for (const std::size_t i : {1, 2}) {
    EXPECT_EQ(outcome.events[i]["event"], "step");
    EXPECT_EQ(outcome.events[i]["step"], i);
    EXPECT_FALSE(outcome.events[i].contains("loss"));
    EXPECT_GT(outcome.events[i]["tokens_per_second"], 0);
  }
  EXPECT_THAT(outcome.error, testing::Not(HasSubstr("loss")));
  const nlohmann::json& done = outcome.events[4];
  EXPECT_EQ(done["delta"], 1e-5);
  EXPECT_EQ(done["output"], output().string());
  EXPECT_EQ(done["epsilon"], outcome.events[2]["epsilon"]);

  // ε is what an accountant says of the noise, rate and steps; the lattice takes a little more.
  const std::vector<dp::Event> events = {{.noise_multiplier = 0.9,
                                          .sampling_rate = 0.16,
                                          .steps = 2,
                                          .neighbours = dp::Neighbours::kAddOrRemoveOne}};
  const double expected = dp::PlanEpsilon(events, 1e-5).value();
  EXPECT_GE(done["epsilon"].get<double>(), expected);
  EXPECT_LE(done["epsilon"].get<double>(), 1.02 * expected);
  const auto ledger = dp::Ledger::OpenReadOnly(folder_ / "ledger.sqlite").value();
  EXPECT_EQ(ledger->Rows().value().size(), 2U);

  // Neither times nor losses of training records are in the output.
  ExpectLogOf({"event", "step", "epsilon"});
  EXPECT_TRUE(fs::exists(output() / "recipe.yaml"));
  const auto files = model::ModelFiles::Open(model_).value();
  const auto adapter = model::LoadAdapter(output(), files->architecture().value());
  ASSERT_TRUE(adapter) << adapter.error().message;
  EXPECT_EQ(adapter->config.first_layer, 28);

  // The output is never written over, and a run that would pass the budget is refused.
  EXPECT_EQ(Run("dp-lora.yaml", {}).status, 1);
  const Outcome refused =
      Run("dp-lora.yaml", {"output=" + (folder_ / "out2").string(), "privacy.target_epsilon=null",
                           "training.steps=300"});
  EXPECT_EQ(refused.status, 3) << refused.error;
  EXPECT_EQ(ledger->Rows().value().size(), 2U);
  EXPECT_FALSE(fs::exists(folder_ / "out2"));
}

// Under add-or-remove-one the number of records is a secret, also of whoever reads errors.
TEST_F(TrainCommand, HowManyRecordsThereAreShowsInNothingThatIsSaid) {
  model_ = folder_ / "tiny";
  trainer::WriteTinyChatModel(model_);
  const auto said = SaidOnFilesOf({1, 20, 90}, [this] {
    return Run("dp-lora.yaml", {"lora.first_layer=0", "privacy.target_epsilon=null"});
  });
  ASSERT_EQ(said.size(), 1U) << testing::PrintToString(said);
  EXPECT_THAT(*said.begin(), HasSubstr("new ledger"));
}

// A user's lines are one unit: drawn, clipped and charged together.
TEST_F(TrainCommand, UsersAndEveryClippingStyleTrainAndSpendWhatTheyClaim) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  std::ofstream file(folder_ / "users.jsonl");
  for (int i = 0; i < 12; ++i) {
    file << R"({"unit": "user)" << i / 3 << R"(", "messages": [{"role": "user", "content": "Say )"
         << i << R"("}, {"role": "assistant", "content": "It is )" << i << "\"}]}\n";
  }
  file.close();
  const std::vector<std::string> common = {"data.train=" + (folder_ / "users.jsonl").string(),
                                           "privacy.unit=user",
                                           "privacy.nominal_units=4",
                                           "privacy.sampling_rate=0.5",
                                           "privacy.budget_epsilon=100",
                                           "training.steps=1",
                                           "training.eval_every=0",
                                           "privacy.target_epsilon=null"};
  const auto epsilon = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.end(), common.begin(), common.end());
    more.push_back("output=" + (folder_ / name).string());
    more.push_back("privacy.ledger=" + (folder_ / (name + ".sqlite")).string());
    const Outcome outcome = Run("dp-lora.yaml", more);
    EXPECT_EQ(outcome.status, 0) << outcome.error;
    return outcome.events.empty() ? 0 : outcome.events.back()["epsilon"].get<double>();
  };
  const auto claimed = [](double noise_multiplier) {
    const std::vector<dp::Event> events = {{.noise_multiplier = noise_multiplier,
                                            .sampling_rate = 0.5,
                                            .steps = 1,
                                            .neighbours = dp::Neighbours::kAddOrRemoveOne}};
    return dp::PlanEpsilon(events, 1e-5).value();
  };
  const double one = claimed(0.9);
  EXPECT_NEAR(epsilon("out-flat", {}), one, 0.02 * one);
  EXPECT_NEAR(epsilon("out-layers", {"privacy.clipping=per-layer"}), one, 0.02 * one);
  EXPECT_NEAR(epsilon("out-auto", {"privacy.clipping=automatic", "privacy.stability=0.01"}), one,
              0.02 * one);
  // The count's noise is accounted for together with the sum's, as one event.
  const double joint = claimed(1 / std::hypot(1 / 0.9, 1 / 1.2));
  EXPECT_GT(joint, 1.1 * one);
  EXPECT_NEAR(epsilon("out-adaptive", {"privacy.adaptive={quantile: 0.5, rate: 0.2, "
                                       "count_noise_multiplier: 1.2}"}),
              joint, 0.02 * joint);
}

TEST_F(TrainCommand, StepCountGivesWayToTheTargetEpsilon) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const Outcome outcome =
      Run("dp-lora.yaml",
          {"training.steps=50", "privacy.noise_multiplier=3", "privacy.sampling_rate=0.05",
           "privacy.target_epsilon=0.3", "training.eval_every=0"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  const auto& done = outcome.events.back();
  EXPECT_LE(done["epsilon"].get<double>(), 0.3);
  EXPECT_LT(outcome.events.size(), 50U);
  EXPECT_GT(outcome.events.size(), 3U);
  // Said openly, before and after.
  const std::string steps = std::to_string(outcome.events.size() - 3);
  EXPECT_THAT(outcome.error, HasSubstr("leaves " + steps + " of the training.steps 50"));
  EXPECT_EQ(done["steps"], outcome.events.size() - 3);
  EXPECT_EQ(done["planned_steps"], 50);
  EXPECT_THAT(base::ReadFile(output() / "recipe.yaml").value(), HasSubstr("planned_steps: 50"));
}

TEST_F(TrainCommand, ASignalLeavesNothingButWhatWasDebited) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  for (const int signal : {SIGTERM, SIGINT}) {
    const fs::path path = folder_ / ("ledger" + std::to_string(signal) + ".sqlite");
    const Outcome outcome =
        Run("dp-lora.yaml",
            {"privacy.ledger=" + path.string(), "privacy.target_epsilon=null",
             "privacy.noise_multiplier=20", "training.steps=500", "training.eval_every=0"},
            signal, "step");
    EXPECT_EQ(outcome.status, 1);
    const auto ledger = dp::Ledger::OpenReadOnly(path).value();
    const std::string steps = std::to_string(ledger->Rows().value().size());
    EXPECT_NE(steps, "0");
    EXPECT_NE(steps, "500");
    EXPECT_THAT(outcome.error,
                HasSubstr("stopped by a signal after step " + steps + ": nothing was written, " +
                          steps + " steps stay debited"));
    // A first run says that its ledger knows of nothing before it.
    EXPECT_THAT(outcome.error, HasSubstr("new ledger " + path.string()));
    // Neither rates nor times of private work where stderr may be kept.
    EXPECT_THAT(outcome.error, testing::Not(HasSubstr("steps/s")));
    ExpectNothingWritten();
  }
}

TEST_F(TrainCommand, HeldOutRecordsWithoutAnAnswerAreRefusedBeforeAnySpend) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const Outcome outcome = Run("dp-lora.yaml", {"data.max_tokens=8"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.error, HasSubstr("data.max_tokens"));
  EXPECT_FALSE(fs::exists(folder_ / "ledger.sqlite"));
  ExpectNothingWritten();
}

TEST_F(TrainCommand, AbsentRecipeIsWrongUsage) {
  const Outcome outcome = Run("nowhere.yaml", {});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.error, HasSubstr("nowhere.yaml"));
}

TEST_F(TrainCommand, PlainRunLearnsAndSaysSo) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  fs::copy_file(folder_ / "train.jsonl", folder_ / "eval.jsonl",
                fs::copy_options::overwrite_existing);
  const Outcome outcome =
      Run("lora.yaml", {"training.steps=6", "training.batch_size=8", "training.eval_every=0"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(outcome.events.size(), 9U);
  EXPECT_TRUE(outcome.events[1]["epsilon"].is_null());
  EXPECT_TRUE(outcome.events[1].contains("loss"));
  EXPECT_LT(outcome.events[7]["loss"].get<double>(), outcome.events[0]["loss"].get<double>() - 0.2);
}

TEST_F(TrainCommand, AnAdapterOverFourBitsLearnsAndMerges) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  fs::copy_file(folder_ / "train.jsonl", folder_ / "eval.jsonl",
                fs::copy_options::overwrite_existing);
  const Outcome outcome =
      Run("qlora.yaml", {"training.steps=6", "training.batch_size=8", "training.eval_every=0"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(outcome.events.size(), 9U);
  EXPECT_LT(outcome.events[7]["loss"].get<double>(), outcome.events[0]["loss"].get<double>() - 0.1);
  const auto merged = model::Merge(model_, output(), folder_ / "merged.gguf", std::nullopt);
  ASSERT_TRUE(merged) << merged.error().message;
}

TEST_F(TrainCommand, AnAdaptiveClipNormKeepsATargetThatItsNoiseIsFoundFor) {
  model_ = folder_ / "tiny";
  trainer::WriteTinyChatModel(model_);
  const Outcome outcome =
      Run("dp-lora.yaml", {"lora.first_layer=0", "training.steps=4", "training.eval_every=0",
                           "privacy.noise_multiplier=null", "privacy.target_epsilon=6",
                           "privacy.adaptive={quantile: 0.5, rate: 0.2, "
                           "count_noise_multiplier: 3}"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  const double epsilon = outcome.events.back()["epsilon"].get<double>();
  EXPECT_LE(epsilon, 6);
  EXPECT_GT(epsilon, 5.95);
  EXPECT_EQ(outcome.events.back()["steps"], 4);
}

}  // namespace
}  // namespace cloister::cli
