// `cloister train` in a fixed order with matrix-factorization noise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/accountant.h"
#include "dp/ledger/ledger.h"
#include "tests/trainer/tiny_chat_model.h"
#include "tests/trainer/train_command_case.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

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
  ExpectLogOf({"event", "step", "epsilon", "neighbours"});
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
  EXPECT_EQ(dp::PlanEpsilon(events, 1e-5).value(), done["epsilon"].get<double>());
  EXPECT_EQ(*dp::Ledger::Open(ledger()).value()->LastStep(rows[0].spend.key.job), 8);
  // The calculator says the same of that event.
  char noise[64];
  std::snprintf(noise, sizeof noise, "%.17g", event.noise_multiplier);
  const std::string command = std::string(CLOISTER_BIN_DIR) +
                              "/cloister privacy epsilon --noise-multiplier " + noise +
                              " --sampling-rate 1 --steps 1 --delta 1e-5 "
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
      Run(fs::relative(resolved, Root() / "configs").string(),
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
  EXPECT_THAT(sampled.error, HasSubstr("spent as record, zero-out"));
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
  EXPECT_THAT(mixed.error, HasSubstr("spent as record, add-or-remove-one"));
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

// Slots are public, what stands in them and how many units there are is not.
TEST_F(MatrixTrainCommand, UnitsTakeSlotsAndTheRestStayEmptyOrAreShared) {
  const auto said = SaidOnFilesOf({5, 20, 47}, [this] { return RunMatrix({}); });
  ASSERT_EQ(said.size(), 1U) << testing::PrintToString(said);
  EXPECT_THAT(*said.begin(), HasSubstr("matrix factorization with 4 bands"));
  // Twenty-four slots, twenty-one units, one of which says nothing.
  WriteLines("train.jsonl", 20, 0);
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

}  // namespace
}  // namespace cloister::cli
