#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/privacy/commands.h"

// Runs `cloister privacy …` in this process, for tests.
namespace cloister::cli {

namespace fs = std::filesystem;
using nlohmann::json;

struct Outcome {
  int status = 0;
  std::string out;
  std::string error;
};

// Runs `cloister ARGUMENTS…` with this folder's commands alone.
inline Outcome RunCloister(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "cloister");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  const std::vector<Command> commands = PrivacyCommands();
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = Main(commands, "cloister", static_cast<int>(argv.size()), argv.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.error = ::testing::internal::GetCapturedStderr();
  return outcome;
}

// The JSON object that a successful run prints.
inline json Print(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const Outcome outcome = RunCloister(std::move(arguments));
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1);
  return json::parse(outcome.out, nullptr, false);
}

inline void ExpectRefused(const std::vector<std::string>& arguments, int status,
                          const std::string& text) {
  const Outcome outcome = RunCloister(arguments);
  EXPECT_EQ(outcome.status, status) << outcome.error;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
  EXPECT_EQ(outcome.error.rfind("error: ", 0), 0u) << outcome.error;
  EXPECT_NE(outcome.error.find(text), std::string::npos) << outcome.error;
}

}  // namespace cloister::cli
