#pragma once

#include <vector>

#include "cli/command.h"

namespace cloister::cli {

// The commands of this folder, one file each.
std::vector<Command> FederationCommands();

Command FederationCaInitCommand();
Command FederationCaIssueCommand();
Command FederationCoordinatorCommand();
Command FederationSiteCommand();
Command FederationSubmitCommand();

}  // namespace cloister::cli
