#include "cli/privacy/commands.h"
#include "dp/accounting/rdp_accountant.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister privacy noise --epsilon E --delta D --sampling-rate Q --steps T [--json]";
  flags.about =
      "The smallest noise multiplier (noise's standard deviation over the sensitivity) with which\n"
      "T releases over Poisson samples of rate Q stay within epsilon at delta, under\n"
      "add-or-remove-one, by the RDP accountant; rounded up in the fourth digit.";
  flags.options.add_options()                                                     //
      ("epsilon", po::value<double>()->required(), "The epsilon to stay within")  //
      ("delta", po::value<double>()->required(), "At this delta")                 //
      ("sampling-rate", po::value<double>()->required(),
       "Probability of a unit to be in a step")                               //
      ("steps", po::value<std::int64_t>()->required(), "Number of releases")  //
      ("json", po::bool_switch(), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  const auto number = [&](const char* flag) { return (*values)[flag].as<double>(); };
  CLOISTER_ASSIGN_OR_RETURN(
      const double noise,
      dp::CalibrateNoise(number("epsilon"), number("delta"), number("sampling-rate"),
                         (*values)["steps"].as<std::int64_t>()));
  PrintResult({{"noise_multiplier", noise}}, (*values)["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyNoiseCommand() {
  return {"privacy noise", "The least noise that keeps an epsilon", Run};
}

}  // namespace cloister::cli
