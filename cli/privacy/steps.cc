#include "cli/privacy/calibration_flags.h"
#include "cli/privacy/commands.h"
#include "cli/privacy/release_flags.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister privacy steps --epsilon E --delta D --noise-multiplier S --sampling-rate Q "
      "[--accountant pld|rdp] [--neighbours R] [--json]";
  flags.about =
      "The most releases with noise of S times the sensitivity over Poisson samples of rate Q "
      "that\n"
      "stay within epsilon at delta; 0 where one release passes it.";
  AddGoalFlags(flags);
  AddNoiseFlag(flags, Flag::kRequired);
  AddRateFlag(flags, Flag::kRequired);
  flags.options.add_options()  //
      ("json", po::bool_switch(), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  CLOISTER_ASSIGN_OR_RETURN(const dp::PrivacyGoal goal, GoalOf(*values));
  const base::Result<std::int64_t> steps = dp::MostSteps(
      goal, (*values)["noise-multiplier"].as<double>(), (*values)["sampling-rate"].as<double>());
  if (!steps) return tl::unexpected(NamingFlags(steps.error(), "--epsilon"));
  PrintResult({{"steps", *steps}}, (*values)["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyStepsCommand() {
  return {"privacy steps", "The most steps that keep an epsilon", Run};
}

}  // namespace cloister::cli
