#pragma once

#include <vector>

#include "cli/command.h"

namespace cloister::cli {

// The commands of this folder, one file each.
std::vector<Command> TrainCommands();

}  // namespace cloister::cli
