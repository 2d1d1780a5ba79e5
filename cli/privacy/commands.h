#pragma once

#include <vector>

#include "cli/command.h"

namespace cloister::cli {

// The commands of this folder, one file each.
std::vector<Command> PrivacyCommands();

Command PrivacyEpsilonCommand();
Command PrivacyNoiseCommand();
Command PrivacyStepsCommand();
Command PrivacyLedgerCommand();

}  // namespace cloister::cli
