#include <iostream>
#include <optional>

#include "cli/privacy/commands.h"
#include "cli/privacy/events_file.h"
#include "cli/privacy/release_flags.h"
#include "dp/accounting/accountant.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

Flags MakeFlags() {
  Flags flags;
  flags.usage =
      "cloister privacy epsilon (--noise-multiplier S --sampling-rate Q --steps T | --events F) "
      "(--delta D | --at-epsilon E) [--accountant pld|rdp] [--neighbours R] [--json]";
  flags.about =
      "How much privacy a run costs: epsilon at a given delta, or delta at a given epsilon.\n"
      "The run is T releases of a sum with Gaussian noise of S times its sensitivity, each over a\n"
      "Poisson sample that holds every unit with probability Q; or a list of such releases:\n"
      "  [{\"mechanism\": \"gaussian\", \"noise_multiplier\": 1.1, \"sampling_rate\": 0.01, "
      "\"steps\": 1000}]\n"
      "A row may also be laplace, with a scale, or discrete_gaussian, with a sigma and a whole\n"
      "sensitivity. A noise_multiplier is noise over sensitivity already: a gaussian's "
      "sensitivity\n"
      "beside it changes nothing. A sigma or scale is divided by the row's sensitivity (1 where it "
      "has none). What a run leaves as privacy_events.json is such a list, with its\n"
      "neighbours and a delta_slack that is charged to the delta.\n"
      "The pld accountant is tight; rdp is what a data set's ledger enforces. Where pld has no\n"
      "bound, or a worse one, rdp's is printed, and below a delta of 1e-12 one by the moments "
      "that\n"
      "rdp is of; the output names either rdp.\n"
      "Example: cloister privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.01 --steps 1000 "
      "--delta 1e-5";
  AddNoiseFlag(flags, Flag::kOptional);
  AddRateFlag(flags, Flag::kOptional);
  AddStepsFlag(flags, Flag::kOptional);
  flags.options.add_options()                                                               //
      ("events", po::value<std::string>(), "JSON file with a list of releases to compose")  //
      ("delta", po::value<double>(), "Print epsilon at this delta")                         //
      ("at-epsilon", po::value<double>(), "Print delta at this epsilon")                    //
      ("accountant", po::value<std::string>()->default_value("pld"),
       "pld or rdp")  //
      ("neighbours", po::value<std::string>(),
       "add-or-remove-one, add, remove, replace-one or zero-out; without it what the events say, "
       "or add-or-remove-one")  //
      ("json", po::bool_switch(), "Print one JSON object");
  return flags;
}

base::Result<std::vector<dp::Event>> EventsOf(const po::variables_map& values,
                                              std::optional<dp::Neighbours> neighbours) {
  std::string missing;
  std::size_t given = 0;
  for (const char* const name : {"noise-multiplier", "sampling-rate", "steps"}) {
    if (values.count(name) != 0) {
      ++given;
    } else {
      missing += std::string(missing.empty() ? "--" : ", --") + name;
    }
  }
  if (values.count("events") != 0) {
    if (given != 0) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--events stands alone: leave out --noise-multiplier, --sampling-rate and "
                        "--steps");
    }
    return ReadEvents(values["events"].as<std::string>(), neighbours);
  }
  if (!missing.empty()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the run is not told, missing " + missing + ": add " +
                          (given == 0 ? "them, or --events" : "what is missing"));
  }
  dp::Event event;
  event.noise_multiplier = values["noise-multiplier"].as<double>();
  event.sampling_rate = values["sampling-rate"].as<double>();
  event.steps = values["steps"].as<StepCount>().value;
  event.neighbours = neighbours.value_or(dp::Neighbours::kAddOrRemoveOne);
  if (const base::Status valid = dp::Validate(event); !valid) {
    return tl::unexpected(NamingFlags(valid.error(), ""));
  }
  return std::vector<dp::Event>{event};
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags = MakeFlags();
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, arguments));
  if (!parsed) return {};
  const po::variables_map& values = *parsed;
  const bool at_delta = values.count("delta") != 0;
  if (at_delta == (values.count("at-epsilon") != 0)) {
    return base::Fail(base::Code::kInvalidArgument,
                      at_delta ? "--delta and --at-epsilon contradict each other: leave one out, "
                                 "the figure of the one left out is printed"
                               : "what to print is not given: add either --delta or --at-epsilon");
  }
  CLOISTER_ASSIGN_OR_RETURN(const dp::Accountant accountant,
                            dp::ParseAccountant(values["accountant"].as<std::string>()));
  std::optional<dp::Neighbours> neighbours;
  if (values.count("neighbours") != 0) {
    CLOISTER_ASSIGN_OR_RETURN(neighbours,
                              dp::ParseNeighbours(values["neighbours"].as<std::string>()));
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<dp::Event> events, EventsOf(values, neighbours));
  const base::Result<dp::PrivacyCost> cost =
      at_delta ? dp::CostAtDelta(events, values["delta"].as<double>(), accountant)
               : dp::CostAtEpsilon(events, values["at-epsilon"].as<double>(), accountant);
  if (!cost) return tl::unexpected(NamingFlags(cost.error(), "--at-epsilon"));
  // JSON has no infinity: an epsilon without a bound is null.
  PrintResult({{"epsilon", cost->epsilon},
               {"delta", cost->delta},
               {"accountant", dp::AccountantName(cost->accountant)},
               {"neighbours", dp::NeighboursName(events.front().neighbours)}},
              values["json"].as<bool>());
  return {};
}

}  // namespace

Command PrivacyEpsilonCommand() {
  return {"privacy epsilon", "Epsilon of a run at a delta, or delta at an epsilon", Run};
}

}  // namespace cloister::cli
