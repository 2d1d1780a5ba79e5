// `cloister train` end to end, on the real model where models/ has it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "dp/accounting/rdp_accountant.h"
#include "dp/ledger/ledger.h"
#include "model/adapter.h"
#include "model/model_files.h"
#include "tests/model/ascii_tokenizer.h"
#include "tests/trainer/tiny_chat_model.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kRoot = fs::path(CLOISTER_TEST_DATA) / "../..";

struct Outcome {
  int status = -1;
  std::vector<nlohmann::json> events;
  std::string error;
};

class TrainCommand : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("train_command_") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    WriteLines("train.jsonl", 20, 0);
    WriteLines("eval.jsonl", 3, 1000);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void WriteLines(const std::string& name, int count, int first) const {
    std::ofstream file(folder_ / name);
    for (int i = first; i < first + count; ++i) {
      file << R"({"messages": [{"role": "user", "content": "What is )" << i
           << R"(?"}, {"role": "assistant", "content": "It is number )" << i << "\"}]}\n";
    }
  }

  bool HasModel() const { return fs::exists(model_); }

  // Runs a recipe of configs/ on this test's files with more overrides. The process is sent
  // `signal`, if any, when the first event of the named kind has been read.
  Outcome Run(const std::string& recipe, const std::vector<std::string>& overrides, int signal = 0,
              const std::string& at = {}) const {
    std::string command = "echo $$; exec " + std::string(CLOISTER_BIN_DIR) +
                          "/cloister-train train --json --config " +
                          (kRoot / "configs" / recipe).string();
    std::vector<std::string> all = {"model=" + model_.string(),
                                    "output=" + output().string(),
                                    "data.train=" + (folder_ / "train.jsonl").string(),
                                    "data.eval=" + (folder_ / "eval.jsonl").string(),
                                    "data.max_tokens=64",
                                    "training.threads=1",
                                    "training.steps=2"};
    if (recipe.ends_with("lora.yaml")) all.push_back("lora.first_layer=28");
    if (recipe.starts_with("dp-")) {
      all.push_back("privacy.ledger=" + (folder_ / "ledger.sqlite").string());
      all.push_back("privacy.nominal_units=20");
    }
    all.insert(all.end(), overrides.begin(), overrides.end());
    for (const std::string& one : all) command += " --set '" + one + "'";
    const fs::path error = folder_ / "stderr";
    FILE* pipe = ::popen((command + " 2>" + error.string()).c_str(), "r");
    Outcome outcome;
    int process = 0;
    std::string line;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) {
      if (c != '\n') {
        line.push_back(static_cast<char>(c));
        continue;
      }
      if (process == 0) {
        process = std::stoi(line);
      } else {
        outcome.events.push_back(nlohmann::json::parse(line));
        if (signal != 0 && outcome.events.back()["event"] == at) ::kill(process, signal);
      }
      line.clear();
    }
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.error = base::ReadFile(error).value();
    return outcome;
  }

  // Nothing but what SetUp made: no output, no half-written folder beside it.
  void ExpectNothingWritten() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::StartsWith("out")));
    }
  }

  fs::path output() const { return folder_ / "out"; }

  fs::path folder_;
  fs::path model_ = kRoot / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
};

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
  const double expected = dp::RdpEpsilon(events, 1e-5).value();
  EXPECT_GE(done["epsilon"].get<double>(), expected);
  EXPECT_LE(done["epsilon"].get<double>(), 1.02 * expected);
  const auto ledger = dp::Ledger::OpenReadOnly(folder_ / "ledger.sqlite").value();
  EXPECT_EQ(ledger->Rows().value().size(), 2U);

  // Neither times nor losses of training records are in the output.
  const std::string log = base::ReadFile(output() / "events.jsonl").value();
  EXPECT_THAT(log, testing::Not(HasSubstr("tokens_per_second")));
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
    return dp::RdpEpsilon(events, 1e-5).value();
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

// Twenty records in batches of five: eight steps take each of them twice, four steps apart. The
// tiny model is enough: nothing here is about what is learned.
class MatrixTrainCommand : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    model_ = folder_ / "tiny";
    trainer::WriteTinyChatModel(model_);
  }

  Outcome RunMatrix(std::vector<std::string> more) const {
    std::vector<std::string> overrides = {"privacy.ledger=" + ledger().string(),
                                          "lora.first_layer=0",
                                          "training.steps=8",
                                          "training.batch_size=5",
                                          "training.eval_every=0",
                                          "privacy.nominal_units=20",
                                          "privacy.bands=4",
                                          "privacy.min_separation=4"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    return Run("dp-matrix-factorization.yaml", overrides);
  }
  std::vector<dp::Ledger::Row> Rows() const {
    return dp::Ledger::OpenReadOnly(ledger()).value()->Rows().value();
  }
  fs::path ledger() const { return folder_ / "ledger.sqlite"; }
};

TEST_F(MatrixTrainCommand, SpendsOnceForAllStepsAndSaysTheWholeRunsEpsilon) {
  const Outcome outcome = RunMatrix({});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(outcome.events.size(), 11U);  // eval, eight steps, eval, done
  const nlohmann::json& done = outcome.events.back();
  for (const nlohmann::json& event : outcome.events) {
    if (event["event"] == "eval") continue;
    EXPECT_EQ(event["epsilon"], done["epsilon"]);
    EXPECT_EQ(event["neighbours"], "zero-out");
    EXPECT_FALSE(event.contains("loss"));
  }
  EXPECT_THAT(outcome.error, HasSubstr("all steps are one release under zero-out neighbours"));
  // The target, kept and used.
  EXPECT_LE(done["epsilon"].get<double>(), 8);
  EXPECT_GT(done["epsilon"].get<double>(), 7.99);

  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 1U);
  const dp::Event& event = rows[0].spend.event;
  EXPECT_EQ(event.neighbours, dp::Neighbours::kZeroOut);
  EXPECT_EQ(event.sampling_rate, 1);
  EXPECT_EQ(event.steps, 1);
  const std::vector<dp::Event> events = {event};
  EXPECT_EQ(dp::RdpEpsilon(events, 1e-5).value(), done["epsilon"].get<double>());
  EXPECT_EQ(*dp::Ledger::Open(ledger()).value()->LastStep(rows[0].spend.key.job), 8);
  // The calculator says the same of that event.
  char noise[64];
  std::snprintf(noise, sizeof noise, "%.17g", event.noise_multiplier);
  const std::string command = std::string(CLOISTER_BIN_DIR) +
                              "/cloister privacy epsilon --noise-multiplier " + noise +
                              " --sampling-rate 1 --steps 1 --delta 1e-5 --accountant rdp "
                              "--neighbours zero-out --json";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string printed;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) printed.push_back(static_cast<char>(c));
  EXPECT_EQ(::pclose(pipe), 0);
  EXPECT_NEAR(nlohmann::json::parse(printed)["epsilon"].get<double>(),
              done["epsilon"].get<double>(), 1e-9);

  // What was resolved runs again, at the noise that was found.
  const fs::path resolved = output() / "recipe.yaml";
  const std::string text = base::ReadFile(resolved).value();
  EXPECT_THAT(text, HasSubstr("mechanism: matrix-factorization"));
  EXPECT_THAT(text, HasSubstr("noise_multiplier: "));
  const Outcome again =
      Run(fs::relative(resolved, kRoot / "configs").string(),
          {"output=" + (folder_ / "out2").string(), "lora.first_layer=0", "training.steps=8"});
  EXPECT_EQ(again.status, 0) << again.error;
  ASSERT_EQ(Rows().size(), 2U);
  EXPECT_EQ(Rows()[1].spend.event, event);
}

TEST_F(MatrixTrainCommand, NeverSpendsBesideAddOrRemoveOne) {
  ASSERT_EQ(RunMatrix({}).status, 0);
  const Outcome sampled =
      Run("dp-lora.yaml", {"lora.first_layer=0", "output=" + (folder_ / "out2").string()});
  EXPECT_EQ(sampled.status, 2);
  EXPECT_THAT(sampled.error, HasSubstr("registered as record, zero-out"));
  EXPECT_EQ(Rows().size(), 1U);
  // Nor the other way round, on one line of the file alone.
  fs::remove_all(output());
  WriteLines("train.jsonl", 20, 40);
  const fs::path other = folder_ / "other.sqlite";
  ASSERT_EQ(Run("dp-lora.yaml", {"lora.first_layer=0", "privacy.ledger=" + other.string()}).status,
            0);
  WriteLines("train.jsonl", 20, 59);
  const Outcome mixed =
      RunMatrix({"privacy.ledger=" + other.string(), "output=" + (folder_ / "out2").string()});
  EXPECT_EQ(mixed.status, 2);
  EXPECT_THAT(mixed.error, HasSubstr("registered as record, add-or-remove-one"));
}

TEST_F(MatrixTrainCommand, EveryClippingStyleAndUsersTrainAtTheSameEpsilon) {
  const std::vector<std::vector<std::string>> styles = {
      {"privacy.clipping=per-layer"},
      {"privacy.clipping=automatic", "privacy.stability=0.01"},
      {"privacy.bands=1"}};
  for (std::size_t i = 0; i < styles.size(); ++i) {
    std::vector<std::string> more = styles[i];
    more.push_back("output=" + (folder_ / ("out" + std::to_string(i))).string());
    more.push_back("privacy.ledger=" + (folder_ / ("ledger" + std::to_string(i))).string());
    const Outcome outcome = RunMatrix(more);
    ASSERT_EQ(outcome.status, 0) << outcome.error;
    EXPECT_NEAR(outcome.events.back()["epsilon"].get<double>(), 8, 0.01);
  }
  std::ofstream file(folder_ / "users.jsonl");
  for (int i = 0; i < 12; ++i) {
    file << R"({"unit": "user)" << i / 3 << R"(", "messages": [{"role": "user", "content": "Say )"
         << i << R"("}, {"role": "assistant", "content": "It is )" << i << "\"}]}\n";
  }
  file.close();
  const Outcome users =
      RunMatrix({"data.train=" + (folder_ / "users.jsonl").string(), "privacy.unit=user",
                 "privacy.nominal_units=4", "training.batch_size=2", "training.steps=4",
                 "privacy.bands=2", "privacy.min_separation=2"});
  ASSERT_EQ(users.status, 0) << users.error;
  EXPECT_NEAR(users.events.back()["epsilon"].get<double>(), 8, 0.01);
}

// Slots are public, what stands in them is not.
TEST_F(MatrixTrainCommand, UnitsTakeSlotsAndTheRestStayEmpty) {
  const Outcome crowded = RunMatrix(
      {"privacy.nominal_units=19", "training.batch_size=4", "privacy.max_participations=4"});
  EXPECT_EQ(crowded.status, 2);
  EXPECT_THAT(crowded.error, HasSubstr("has 20 privacy units"));
  EXPECT_FALSE(fs::exists(ledger()));
  ExpectNothingWritten();
  // Twenty-four slots, twenty units, one of which says nothing.
  std::ofstream(folder_ / "train.jsonl", std::ios::app)
      << R"({"messages": [{"role": "user", "content": "withdrawn"}]})"
      << "\n";
  const Outcome roomy = RunMatrix({"privacy.nominal_units=24", "training.batch_size=6"});
  EXPECT_EQ(roomy.status, 0) << roomy.error;
}

TEST_F(MatrixTrainCommand, ANoiseThatMissesTheTargetIsToldOneThatDoesNot) {
  const Outcome outcome = RunMatrix({"privacy.noise_multiplier=0.4"});
  EXPECT_EQ(outcome.status, 2);
  ASSERT_THAT(outcome.error, HasSubstr("give at least "));
  EXPECT_FALSE(fs::exists(ledger()));
  const std::string least = outcome.error.substr(outcome.error.find("at least ") + 9);
  const Outcome kept = RunMatrix({"privacy.noise_multiplier=" + least.substr(0, least.find(','))});
  ASSERT_EQ(kept.status, 0) << kept.error;
  EXPECT_LE(kept.events.back()["epsilon"].get<double>(), 8);
  EXPECT_GT(kept.events.back()["epsilon"].get<double>(), 7.9);
}

TEST_F(MatrixTrainCommand, ASignalLeavesTheWholeRunDebited) {
  const Outcome outcome =
      Run("dp-matrix-factorization.yaml",
          {"privacy.ledger=" + ledger().string(), "lora.first_layer=0", "training.steps=3000",
           "training.batch_size=5", "training.eval_every=0", "privacy.nominal_units=20",
           "privacy.bands=4", "privacy.min_separation=4", "privacy.max_participations=750"},
          SIGTERM, "step");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.error, HasSubstr("nothing was written, the whole run stays debited"));
  EXPECT_EQ(Rows().size(), 1U);
  ExpectNothingWritten();
}

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
  EXPECT_THAT(base::ReadFile(output() / "events.jsonl").value(),
              testing::Not(HasSubstr("tokens_per_second")));
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
                              (kRoot / "configs/dp-full.yaml").string() + " >" + found.string();
  ASSERT_EQ(std::system((command + " 2>/dev/null").c_str()), 0);
  const auto verdict = nlohmann::json::parse(base::ReadFile(found).value());
  EXPECT_EQ(verdict["canaries"], 500);
  EXPECT_LE(verdict["epsilon_lower"].get<double>(), verdict["epsilon"].get<double>());
}

TEST_P(FullTrainCommand, AModelThatEndsAsItBeganIsAnError) {
  const Outcome outcome = Run("full.yaml", {"data.eval=null", "data.max_tokens=8"});
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
