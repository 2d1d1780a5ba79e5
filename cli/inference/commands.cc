#include "cli/inference/commands.h"

namespace cloister::cli {

std::vector<Command> InferenceCommands() {
  return {GenerateCommand(), ScoreCommand(), PerplexityCommand(), BenchCommand()};
}

}  // namespace cloister::cli
