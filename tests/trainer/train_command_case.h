#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
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
class TrainCommand : public InOwnFolder {
 protected:
  static std::filesystem::path Root() {
    return std::filesystem::path(CLOISTER_TEST_DATA) / "../..";
  }

  void SetUp() override {
    InOwnFolder::SetUp();
    WriteLines("train.jsonl", 20, 0);
    WriteLines("eval.jsonl", 3, 1000);
  }

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

  // What private runs on files of so many records say on stderr, without the times of the lines.
  // Nothing of what they leave is kept.
  template <typename RunOnFile>
  std::set<std::string> SaidOnFilesOf(std::initializer_list<int> records,
                                      const RunOnFile& run) const {
    std::set<std::string> said;
    for (const int count : records) {
      WriteLines("train.jsonl", count, 0);
      const Outcome outcome = run();
      EXPECT_EQ(outcome.status, 0) << count << " records: " << outcome.error;
      said.insert(std::regex_replace(outcome.error, std::regex(R"(\d{4}-\S+ info )"), ""));
      for (const char* const left : {"out", "ledger.sqlite", "ledger.sqlite.key"}) {
        std::filesystem::remove_all(folder_ / left);
      }
    }
    return said;
  }

  // A private run's output tells nothing that was computed from training records but the noised
  // parameters, and no times: each line of its log has the keys of its kind and no others.
  void ExpectLogOf(const std::set<std::string>& step_keys) const {
    std::ifstream log(output() / "events.jsonl");
    int steps = 0;
    for (std::string line; std::getline(log, line);) {
      const auto event = nlohmann::json::parse(line);
      if (event["event"] == "done") continue;
      std::set<std::string> keys;
      for (const auto& item : event.items()) keys.insert(item.key());
      if (event["event"] == "step") ++steps;
      const std::set<std::string> eval_keys = {"event", "loss"};
      EXPECT_EQ(keys, event["event"] == "step" ? step_keys : eval_keys);
    }
    EXPECT_GT(steps, 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(output())) {
      if (!entry.is_regular_file()) continue;
      EXPECT_THAT(base::ReadFile(entry.path()).value(),
                  testing::Not(testing::HasSubstr("tokens_per_second")))
          << entry.path();
    }
  }

  std::filesystem::path output() const { return folder_ / "out"; }

  std::filesystem::path model_ = Root() / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
};

}  // namespace cloister::cli
