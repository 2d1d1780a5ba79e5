#include <iostream>

#include "cli/privacy/commands.h"
#include "cli/privacy/events_file.h"
#include "dp/accounting/rdp_accountant.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

Flags MakeFlags() {
  Flags flags;
  flags.usage =
      "cloister privacy epsilon (--noise-multiplier S --sampling-rate Q --steps T | --events F) "
      "(--delta D | --at-epsilon E) [--accountant rdp] [--neighbours R] [--json]";
  flags.about =
      "How much privacy a run costs: epsilon at a given delta, or delta at a given epsilon.\n"
      "The run is T releases of a sum with Gaussian noise of S times its sensitivity, each over a\n"
      "Poisson sample that holds every unit with probability Q; or a list of such releases:\n"
      "  [{\"mechanism\": \"gaussian\", \"noise_multiplier\": 1.1, \"sampling_rate\": 0.01, "
      "\"steps\": 1000}]\n"
      "A row's noise_multiplier is noise over sensitivity already: a sensitivity beside it "
      "changes\n"
      "nothing. A row with sigma (or scale, the same) gives the noise's standard deviation, which\n"
      "is divided by the row's sensitivity (1 where it has none).\n"
      "Example: cloister privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.01 --steps 1000 "
      "--delta 1e-5 --accountant rdp";
  flags.options.add_options()  //
      ("noise-multiplier", po::value<double>(),
       "Noise's standard deviation over the sensitivity")                                         //
      ("sampling-rate", po::value<double>(), "Probability of a unit to be in a step, at most 1")  //
      ("steps", po::value<std::int64_t>(), "Number of releases")                                  //
      ("events", po::value<std::string>(), "JSON file with a list of releases to compose")        //
      ("delta", po::value<double>(), "Print epsilon at this delta")                               //
      ("at-epsilon", po::value<double>(), "Print delta at this epsilon")                          //
      ("accountant", po::value<std::string>()->default_value("pld"),
       "pld (not built yet) or rdp")  //
      ("neighbours", po::value<std::string>()->default_value("add-or-remove-one"),
       "add-or-remove-one, add, remove, replace-one or zero-out")  //
      ("json", po::bool_switch(), "Print one JSON object");
  return flags;
}

base::Status CheckAccountant(const std::string& name) {
  if (name == "rdp") return {};
  if (name == "pld") {
    return base::Fail(base::Code::kUnimplemented,
                      "the PLD accountant is not built yet: add --accountant rdp");
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "unknown accountant '" + name + "', --accountant: use rdp");
}

base::Result<std::vector<dp::Event>> EventsOf(const po::variables_map& values,
                                              dp::Neighbours neighbours) {
  const std::size_t given =
      values.count("noise-multiplier") + values.count("sampling-rate") + values.count("steps");
  if (values.count("events") != 0) {
    if (given != 0) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--events stands alone: leave out --noise-multiplier, --sampling-rate and "
                        "--steps");
    }
    return ReadEvents(values["events"].as<std::string>(), neighbours);
  }
  if (given != 3) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the run is not given: add --noise-multiplier, --sampling-rate and --steps, "
                      "or --events");
  }
  dp::Event event;
  event.noise_multiplier = values["noise-multiplier"].as<double>();
  event.sampling_rate = values["sampling-rate"].as<double>();
  event.steps = values["steps"].as<std::int64_t>();
  event.neighbours = neighbours;
  return std::vector<dp::Event>{event};
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags = MakeFlags();
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, arguments));
  if (!parsed) return {};
  const po::variables_map& values = *parsed;
  if (values.count("delta") + values.count("at-epsilon") != 1) {
    return base::Fail(base::Code::kInvalidArgument,
                      "what to print is not given: add either --delta or --at-epsilon");
  }
  const std::string accountant = values["accountant"].as<std::string>();
  CLOISTER_RETURN_IF_ERROR(CheckAccountant(accountant));
  CLOISTER_ASSIGN_OR_RETURN(const dp::Neighbours neighbours,
                            dp::ParseNeighbours(values["neighbours"].as<std::string>()));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<dp::Event> events, EventsOf(values, neighbours));
  double epsilon = 0;
  double delta = 0;
  if (values.count("delta") != 0) {
    delta = values["delta"].as<double>();
    CLOISTER_ASSIGN_OR_RETURN(epsilon, dp::RdpEpsilon(events, delta));
  } else {
    epsilon = values["at-epsilon"].as<double>();
    CLOISTER_ASSIGN_OR_RETURN(delta, dp::RdpDelta(events, epsilon));
  }
  // JSON has no infinity: an epsilon without a bound is null.
  PrintResult({{"epsilon", epsilon},
               {"delta", delta},
               {"accountant", accountant},
               {"neighbours", dp::NeighboursName(neighbours)}},
              values["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyEpsilonCommand() {
  return {"privacy epsilon", "Epsilon of a run at a delta, or delta at an epsilon", Run};
}

}  // namespace cloister::cli
