#pragma once

#include <vector>

#include "cli/command.h"

namespace cloister::cli {

// The commands of this folder, one file each.
std::vector<Command> ModelCommands();

Command InspectCommand();
Command ConvertCommand();
Command MergeCommand();
Command QuantizeCommand();
Command TokenizeCommand();
Command RenderCommand();

}  // namespace cloister::cli
