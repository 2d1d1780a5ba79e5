#include "cli/model/commands.h"

namespace cloister::cli {

std::vector<Command> ModelCommands() {
  return {InspectCommand(),  ConvertCommand(),  MergeCommand(),
          QuantizeCommand(), TokenizeCommand(), RenderCommand()};
}

}  // namespace cloister::cli
