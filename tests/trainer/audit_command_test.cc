// `cloister privacy audit` end to end, on the real model where models/ has it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/base/own_path.h"
#include "tests/trainer/tiny_chat_model.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kRoot = fs::path(CLOISTER_TEST_DATA) / "../..";

struct Outcome {
  int status = -1;
  std::string out;
  std::string error;
};

class AuditCommand : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    fs::create_directories(folder_ / "tmp");
  }

  // Of a recipe of configs/ whose data, ledger and output name nothing that is there. `before`: put
  // before the program.
  Outcome Run(const std::string& recipe, const std::string& flags,
              const std::string& before = {}) const {
    std::string command = "TMPDIR=" + (folder_ / "tmp").string() + " " + before +
                          std::string(CLOISTER_BIN_DIR) +
                          "/cloister-train privacy audit --config " +
                          (kRoot / "configs" / recipe).string() + " --set model=" + model_.string();
    for (const std::string one :
         {"data.max_tokens=48", "lora.first_layer=28", "training.threads=1", "training.steps=3"}) {
      command += " --set " + one;
    }
    command += " --set output=" + (folder_ / "out").string();
    command += " --set data.train=" + (folder_ / "none.jsonl").string();
    command += " --set data.eval=" + (folder_ / "none.jsonl").string();
    if (recipe == "dp-lora.yaml") {
      command += " --set privacy.ledger=" + (folder_ / "ledger").string();
    }
    const fs::path error = folder_ / "stderr";
    FILE* pipe = ::popen((command + " " + flags + " 2>" + error.string()).c_str(), "r");
    Outcome outcome;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) outcome.out.push_back(static_cast<char>(c));
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.error = base::ReadFile(error).value();
    fs::remove(error);
    // Neither ledger nor output nor a temporary folder is left.
    EXPECT_TRUE(fs::is_empty(folder_ / "tmp"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
    return outcome;
  }

  void ExpectWrongUsage(const Outcome& outcome, const std::string& text) const {
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.error, testing::StartsWith("error: "));
    EXPECT_THAT(outcome.error, HasSubstr(text));
    EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
  }

  bool HasModel() const { return fs::exists(model_); }

  fs::path model_ = kRoot / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
};

TEST_F(AuditCommand, WrongFlagsAreWrongUsage) {
  ExpectWrongUsage(Run("lora.yaml", "--json"), "no 'privacy' section");
  ExpectWrongUsage(Run("dp-lora.yaml", "--canaries 0"), "--canaries: give 1 or more");
  ExpectWrongUsage(Run("dp-lora.yaml", "--guesses=-3"), "--guesses: give 1 or more");
  ExpectWrongUsage(Run("dp-lora.yaml", "--confidence 95"), "confidence between 0 and 1");
  ExpectWrongUsage(Run("dp-lora.yaml", "--confidence nan"), "confidence");
  ExpectWrongUsage(Run("dp-lora.yaml", "--records 0"), "1 to 1000000 records");
  ExpectWrongUsage(Run("dp-lora.yaml", "--set privacy.clipnorm=1"), "'privacy.clip_norm'");
}

TEST_F(AuditCommand, ShowsLessThanTheRunClaimsAndTouchesNothing) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const Outcome outcome =
      Run("dp-lora.yaml", "--json --records 4 --canaries 500 --confidence 0.999");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  ASSERT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
  const auto result = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(result["confidence"], 0.999);
  EXPECT_GE(result["epsilon_lower"].get<double>(), 0);
  EXPECT_LE(result["epsilon_lower"].get<double>(), result["epsilon"].get<double>());
  EXPECT_EQ(result["canaries"], 500);
  EXPECT_EQ(result["steps"], 3);
}

TEST_F(AuditCommand, CountsThatDoNotFitAreWrongUsage) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const auto last_line = [](const Outcome& outcome) {
    return outcome.error.substr(outcome.error.rfind("error: "));
  };
  Outcome outcome = Run("dp-lora.yaml", "--records 1 --canaries 20 --guesses 21");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(last_line(outcome), HasSubstr("more guesses than the 20 canaries"));
  outcome = Run("dp-lora.yaml", "--records 1 --canaries 100000");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(last_line(outcome), HasSubstr("trained parameters for itself"));
}

TEST_F(AuditCommand, StopsAtASignalAndLeavesNothing) {
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const Outcome outcome =
      Run("dp-lora.yaml", "--records 100 --set training.steps=10000", "timeout -s TERM 5 ");
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.error, HasSubstr("error: audit stopped by a signal"));
}

// The run's 640 parameters of a tiny model are canaries in a fixed order, two turns each.
TEST_F(AuditCommand, MatrixFactorizationIsAuditedByOneMatchedRelease) {
  const OwnFile model("audit_command_tiny");
  trainer::WriteTinyChatModel(model.path());
  model_ = model.path();
  const Outcome outcome =
      Run("dp-matrix-factorization.yaml",
          "--set lora.first_layer=0 --set lora.rank=8 --set training.steps=8 --set "
          "training.batch_size=5 "
          "--set privacy.nominal_units=20 --set privacy.bands=4 --set privacy.min_separation=4 "
          "--set privacy.ledger=" +
              (folder_ / "ledger").string() + " --json");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  const auto result = nlohmann::json::parse(outcome.out);
  EXPECT_NEAR(result["epsilon"].get<double>(), 8, 0.01);
  EXPECT_LT(result["epsilon_lower"].get<double>(), 8);
  EXPECT_GT(result["epsilon_lower"].get<double>(), 0.5);
  EXPECT_EQ(result["steps"], 8);
}

}  // namespace
}  // namespace cloister::cli
