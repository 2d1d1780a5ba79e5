#include "cli/federation/commands.h"

namespace cloister::cli {

std::vector<Command> FederationCommands() {
  return {FederationCaInitCommand(), FederationCaIssueCommand(), FederationCoordinatorCommand(),
          FederationSiteCommand(), FederationSubmitCommand()};
}

}  // namespace cloister::cli
