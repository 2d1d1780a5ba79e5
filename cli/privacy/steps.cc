#include "cli/privacy/commands.h"
#include "dp/accounting/rdp_accountant.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister privacy steps --epsilon E --delta D --noise-multiplier S --sampling-rate Q "
      "[--json]";
  flags.about =
      "The most releases with noise of S times the sensitivity over Poisson samples of rate Q "
      "that\n"
      "stay within epsilon at delta, under add-or-remove-one, by the RDP accountant; 0 where one\n"
      "release passes it.";
  flags.options.add_options()                                                     //
      ("epsilon", po::value<double>()->required(), "The epsilon to stay within")  //
      ("delta", po::value<double>()->required(), "At this delta")                 //
      ("noise-multiplier", po::value<double>()->required(),
       "Noise's standard deviation over the sensitivity")  //
      ("sampling-rate", po::value<double>()->required(),
       "Probability of a unit to be in a step")  //
      ("json", po::bool_switch(), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  const auto number = [&](const char* flag) { return (*values)[flag].as<double>(); };
  CLOISTER_ASSIGN_OR_RETURN(
      const std::int64_t steps,
      dp::AffordableSteps(number("epsilon"), number("delta"), number("noise-multiplier"),
                          number("sampling-rate")));
  PrintResult({{"steps", steps}}, (*values)["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyStepsCommand() {
  return {"privacy steps", "The most steps that keep an epsilon", Run};
}

}  // namespace cloister::cli
