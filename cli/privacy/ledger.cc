#include "dp/ledger/ledger.h"

#include <cstdio>
#include <iostream>
#include <map>

#include "cli/privacy/commands.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

nlohmann::ordered_json RowToJson(const dp::Ledger::Row& row) {
  const dp::Event& event = row.spend.event;
  nlohmann::ordered_json json = {{"time", row.time},
                                 {"data_set", row.data_set},
                                 {"name", row.name},
                                 {"job", row.spend.key.job},
                                 {"round", row.spend.key.round},
                                 {"attempt", row.spend.key.attempt},
                                 {"mechanism", dp::MechanismName(event.mechanism)},
                                 {"noise_multiplier", event.noise_multiplier},
                                 {"sampling_rate", event.sampling_rate},
                                 {"steps", event.steps},
                                 {"neighbours", dp::NeighboursName(event.neighbours)},
                                 {"delta_slack", event.delta_slack},
                                 {"own_noise_multiplier", nullptr}};
  if (row.spend.own_noise_only) {
    json["own_noise_multiplier"] = row.spend.own_noise_only->noise_multiplier;
  }
  return json;
}

// Text out of a file, for a terminal.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

void PrintRow(const dp::Ledger::Row& row) {
  const dp::Event& event = row.spend.event;
  char figures[160];
  std::snprintf(figures, sizeof figures,
                "round %lld.%lld  noise multiplier %.4g  sampling rate %.4g  steps %lld",
                static_cast<long long>(row.spend.key.round),
                static_cast<long long>(row.spend.key.attempt), event.noise_multiplier,
                event.sampling_rate, static_cast<long long>(event.steps));
  std::cout << Printable(row.time + "  " + row.name + "  job " + row.spend.key.job.substr(0, 12))
            << "  " << figures << "\n";
}

base::Status PrintTotals(const dp::Ledger& ledger,
                         const std::map<std::string, std::string>& names) {
  for (const auto& [id, name] : names) {
    CLOISTER_ASSIGN_OR_RETURN(const dp::Ledger::Total total, ledger.Spent(id));
    char figures[160];
    std::snprintf(figures, sizeof figures,
                  "used so far %.3g %% of the budget of epsilon %.4g at delta %.3g "
                  "(running value %.4g, with own noise alone %.4g)",
                  100 * total.share, total.budget, total.delta, total.epsilon,
                  total.epsilon_own_noise);
    std::cout << Printable(name) << " (" << id.substr(0, 12) << "): " << figures << "\n";
  }
  return {};
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister privacy ledger --ledger F [--json]";
  flags.about =
      "What was spent on the data sets of a privacy ledger: a row a release, oldest first; "
      "without\n"
      "--json also what of each data set's budget is used so far, counting those that share a "
      "unit\n"
      "with it. The running value is the epsilon that the budget's count has come to; it begins\n"
      "well above 0, so that the share says better how much is left. Only looks: a job that has\n"
      "the ledger open is not disturbed.";
  flags.options.add_options()                                              //
      ("ledger", po::value<std::string>()->required(), "The ledger file")  //
      ("json", po::bool_switch(), "Print one JSON object a row");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  CLOISTER_ASSIGN_OR_RETURN(const auto ledger,
                            dp::Ledger::OpenReadOnly((*values)["ledger"].as<std::string>()));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<dp::Ledger::Row> rows, ledger->Rows());
  if ((*values)["json"].as<bool>()) {
    for (const dp::Ledger::Row& row : rows) PrintResult(RowToJson(row), true);
    return {};
  }
  std::map<std::string, std::string> names;
  for (const dp::Ledger::Row& row : rows) {
    PrintRow(row);
    names.emplace(row.data_set, row.name);
  }
  if (rows.empty()) std::cout << "nothing spent yet\n";
  return PrintTotals(*ledger, names);
}

}  // namespace

Command PrivacyLedgerCommand() {
  return {"privacy ledger", "What was spent on the data sets of a ledger", Run};
}

}  // namespace cloister::cli
