#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "cli/command.h"
#include "cli/federation/commands.h"
#include "cli/inference/commands.h"
#include "cli/model/commands.h"
#include "cli/privacy/commands.h"

namespace cloister::cli {
namespace {

// Replaces this process by `cloister-train NAME arguments…`, which stands beside it.
base::Status ExecTrain(const std::string& name, std::span<const std::string> arguments) {
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::string program = (self.parent_path() / "cloister-train").string();
  std::vector<std::string> words = SplitWords(name);
  words.insert(words.begin(), program);
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Threads that wait in a long spin would take the processor from others on a machine with other
  // work; ones that sleep at once lose the time of waking up, a tenth of a step.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr && std::getenv("GOMP_SPINCOUNT") == nullptr) {
    ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/1);
    ::setenv("GOMP_SPINCOUNT", "3000", /*overwrite=*/1);  // some 30 microseconds
  }
  ::execv(program.c_str(), argv.data());
  return base::Fail(base::Code::kNotFound, "cannot start " + program + " (" + std::strerror(errno) +
                                               "): install cloister-train beside cloister");
}

Command TrainCommand(const std::string& name, const std::string& summary) {
  return {name, summary,
          [name](std::span<const std::string> arguments) { return ExecTrain(name, arguments); }};
}

}  // namespace
}  // namespace cloister::cli

int main(int argc, char** argv) {
  using cloister::cli::Command;
  std::vector<Command> commands = {
      cloister::cli::TrainCommand("train", "Fine-tune a model, with or without DP"),
      cloister::cli::TrainCommand("privacy audit",
                                  "Empirical lower bound of epsilon, by attacking a recipe's "
                                  "training")};
  for (auto group : {cloister::cli::PrivacyCommands(), cloister::cli::ModelCommands(),
                     cloister::cli::InferenceCommands(), cloister::cli::FederationCommands()}) {
    std::move(group.begin(), group.end(), std::back_inserter(commands));
  }
  return cloister::cli::Main(commands, "cloister", argc, argv);
}
