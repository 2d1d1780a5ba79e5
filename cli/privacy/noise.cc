#include "cli/privacy/calibration_flags.h"
#include "cli/privacy/commands.h"
#include "cli/privacy/release_flags.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister privacy noise --epsilon E --delta D --sampling-rate Q --steps T "
      "[--accountant pld|rdp] [--neighbours R] [--json]";
  flags.about =
      "The smallest noise multiplier (noise's standard deviation over the sensitivity) with which\n"
      "T releases over Poisson samples of rate Q stay within epsilon at delta; rounded up in the\n"
      "fifth digit; 1e-12, the least there is, where any noise keeps it, as where delta is above\n"
      "the chance that a unit is sampled at all. `privacy epsilon` with it and the same accountant "
      "gives no more than epsilon.";
  AddGoalFlags(flags);
  AddRateFlag(flags, Flag::kRequired);
  AddStepsFlag(flags, Flag::kRequired);
  flags.options.add_options()  //
      ("json", po::bool_switch(), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  CLOISTER_ASSIGN_OR_RETURN(const dp::PrivacyGoal goal, GoalOf(*values));
  const base::Result<double> noise = dp::SmallestNoise(
      goal, (*values)["sampling-rate"].as<double>(), (*values)["steps"].as<StepCount>().value);
  if (!noise) return tl::unexpected(NamingFlags(noise.error(), "--epsilon"));
  PrintResult({{"noise_multiplier", *noise}}, (*values)["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyNoiseCommand() {
  return {"privacy noise", "The least noise that keeps an epsilon", Run};
}

}  // namespace cloister::cli
