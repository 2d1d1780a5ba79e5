#include "cli/privacy/calibration_flags.h"
#include "cli/privacy/commands.h"

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
      "fifth digit. `privacy epsilon` with it and the same accountant gives no more than epsilon.";
  AddGoalFlags(flags);
  flags.options.add_options()  //
      ("sampling-rate", po::value<double>()->required(),
       "Probability of a unit to be in a step")                               //
      ("steps", po::value<std::int64_t>()->required(), "Number of releases")  //
      ("json", po::bool_switch(), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  CLOISTER_ASSIGN_OR_RETURN(const dp::PrivacyGoal goal, GoalOf(*values));
  CLOISTER_ASSIGN_OR_RETURN(const double noise,
                            dp::SmallestNoise(goal, (*values)["sampling-rate"].as<double>(),
                                              (*values)["steps"].as<std::int64_t>()));
  PrintResult({{"noise_multiplier", noise}}, (*values)["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyNoiseCommand() {
  return {"privacy noise", "The least noise that keeps an epsilon", Run};
}

}  // namespace cloister::cli
