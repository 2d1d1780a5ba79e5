#include "cli/train/commands.h"

#include "cli/train/audit_command.h"
#include "cli/train/train_command.h"
#include "cli/train/worker_command.h"

namespace cloister::cli {

std::vector<Command> TrainCommands() {
  return {TrainByRecipe(), AuditByRecipe(), FederationWorker()};
}

}  // namespace cloister::cli
