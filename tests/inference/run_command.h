#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/inference/commands.h"

namespace cloister::cli {

struct Outcome {
  int status = 0;
  std::string output;
  std::string errors;

  std::vector<nlohmann::json> lines() const {
    std::vector<nlohmann::json> parsed;
    std::istringstream stream(output);
    for (std::string line; std::getline(stream, line);)
      parsed.push_back(nlohmann::json::parse(line));
    return parsed;
  }
};

// Runs the command as a person would type it, in this process.
inline Outcome RunCommand(std::vector<std::string> words) {
  words.insert(words.begin(), "cloister");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const std::vector<Command> commands = InferenceCommands();
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = Main(commands, "cloister", static_cast<int>(argv.size()), argv.data());
  outcome.output = testing::internal::GetCapturedStdout();
  outcome.errors = testing::internal::GetCapturedStderr();
  return outcome;
}

}  // namespace cloister::cli
