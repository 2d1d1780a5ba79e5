#include "cli/federation/commands.h"

namespace cloister::cli {

namespace {

Command Planned(const std::string& words, const std::string& summary) {
  return {words, summary + " (not built yet)", [words](std::span<const std::string>) {
            return base::Status(
                base::Fail(base::Code::kUnimplemented,
                           "cloister " + words +
                               " is not built yet: see docs/guide/federation.md for what "
                               "is"));
          }};
}

}  // namespace

std::vector<Command> FederationCommands() {
  return {Planned("federation status", "Show a coordinator's jobs and sites"),
          Planned("federation simulate", "Run a whole federation in one process"),
          Planned("federation approve", "Approve a job at a site by hand"),
          FederationCaInitCommand(),
          FederationCaIssueCommand(),
          FederationCoordinatorCommand(),
          FederationSiteCommand(),
          FederationSubmitCommand()};
}

}  // namespace cloister::cli
