#include "cli/privacy/commands.h"

namespace cloister::cli {

std::vector<Command> PrivacyCommands() {
  return {PrivacyEpsilonCommand(), PrivacyNoiseCommand(), PrivacyStepsCommand(),
          PrivacyLedgerCommand()};
}

}  // namespace cloister::cli
