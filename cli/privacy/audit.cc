#include "cli/privacy/commands.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister privacy audit --config F";
  flags.about =
      "An empirical lower bound of epsilon, by attacking the training that a recipe describes.\n"
      "Not built yet: it answers so, whatever it is given.";
  flags.options.add_options()  //
      ("config", po::value<std::string>(), "The recipe to audit");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  return base::Fail(base::Code::kUnimplemented,
                    "privacy audit is not built yet: use privacy epsilon for an upper bound");
}

}  // namespace

Command PrivacyAuditCommand() {
  return {"privacy audit", "Empirical lower bound of epsilon: privacy audit is not built yet", Run};
}

}  // namespace cloister::cli
