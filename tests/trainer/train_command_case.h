#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/base/own_path.h"

namespace cloister::cli {

struct Outcome {
  int status = -1;
  std::vector<nlohmann::json> events;
  std::string error;
};

// Runs `cloister train` on twenty records of its own, with the real model unless told otherwise.
class TrainCommand : public testing::Test {
 protected:
  static std::filesystem::path Root() {
    return std::filesystem::path(CLOISTER_TEST_DATA) / "../..";
  }

  void SetUp() override {
    folder_ = OwnTestPath();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    WriteLines("train.jsonl", 20, 0);
    WriteLines("eval.jsonl", 3, 1000);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void WriteLines(const std::string& name, int count, int first) const {
    std::ofstream file(folder_ / name);
    for (int i = first; i < first + count; ++i) {
      file << R"({"messages": [{"role": "user", "content": "What is )" << i
           << R"(?"}, {"role": "assistant", "content": "It is number )" << i << "\"}]}\n";
    }
  }

  bool HasModel() const { return std::filesystem::exists(model_); }

  // Runs a recipe of configs/ on this test's files with more overrides. The process is sent
  // `signal`, if any, when the first event of the named kind has been read.
  Outcome Run(const std::string& recipe, const std::vector<std::string>& overrides, int signal = 0,
              const std::string& at = {}) const {
    std::string command = "echo $$; exec " + std::string(CLOISTER_BIN_DIR) +
                          "/cloister-train train --json --config " +
                          (Root() / "configs" / recipe).string();
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
    const std::filesystem::path error = folder_ / "stderr";
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
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::StartsWith("out")));
    }
  }

  std::filesystem::path output() const { return folder_ / "out"; }

  std::filesystem::path folder_;
  std::filesystem::path model_ = Root() / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
};

}  // namespace cloister::cli
