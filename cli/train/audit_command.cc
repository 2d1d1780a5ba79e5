#include "cli/train/audit_command.h"

#include <cmath>
#include <string>

#include "base/log.h"
#include "cli/train/stop_signals.h"
#include "trainer/audit/audit_run.h"
#include "trainer/recipe/recipe.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kAbout =
    R"(An empirical lower bound of epsilon: runs the training that the recipe describes once, with
canaries among its units, each in or out by a coin, and guesses from every step's noised sum which
were in (Steinke, Nasr and Jagielski 2023; their bound with abstentions and delta). Whoever guesses
too well refutes the epsilon that the run claims, and exit code 1 says so.
A canary is a gradient along one trained parameter, a hundred times the clip norm long.
The recipe's data, ledger and output are not touched: the run's other records are random words, its
ledger and adapter are thrown away, and nothing is spent. What is audited is this program with the
recipe's model and settings. Epsilons near and above the logarithm of the number of guesses cannot
be refuted; epsilon_most tells the most that could have been shown.)";

std::string Text(double value) { return nlohmann::json(std::round(value * 1e4) / 1e4).dump(); }

// Whether what was seen is possible at all under the claim.
base::Status Compare(const trainer::AuditResult& result, double confidence) {
  if (result.verdict.epsilon_lower > result.epsilon) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "the audit refutes the run's epsilon " + Text(result.epsilon) +
                          ": its true one is above " + Text(result.verdict.epsilon_lower) +
                          " with confidence " + nlohmann::json(confidence).dump() +
                          ": audit again, and do not train on private data with this program if it "
                          "repeats");
  }
  if (result.verdict.epsilon_most <= result.epsilon) {
    base::LogWarning("this audit could not have refuted epsilon " + Text(result.epsilon) +
                     ": even with every guess correct it shows " +
                     Text(result.verdict.epsilon_most) +
                     " at most. More --canaries, of which a model has as many as parameters are "
                     "trained, or other --guesses show more; a smaller delta does, as each guess "
                     "costs a part of it; or audit the recipe with more noise");
  }
  return {};
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister privacy audit --config RECIPE.yaml [--set section.key=value]... [--canaries M] "
      "[--guesses G] [--confidence 0.95] [--json]";
  flags.about = kAbout;
  trainer::AuditOptions options;
  flags.options.add_options()  //
      ("config", po::value<std::string>()->required(), "The recipe to audit (YAML)")(
          "set", po::value<std::vector<std::string>>()->composing(),
          "Lay section.key=value over the recipe; may be repeated")(
          "canaries", po::value<std::int64_t>(&options.canaries),
          "Canaries, a trained parameter each (10000, or all parameters)")(
          "guesses", po::value<std::int64_t>(&options.guesses),
          "Canaries of which the attack says anything (a tenth, and as many as are drawn, at the "
          "price of two attacks)")(
          "confidence", po::value<double>(&options.confidence)->default_value(0.95, "0.95"),
          "That the bound is below the true epsilon")(
          "records", po::value<std::int64_t>(&options.records)->default_value(16),
          "Records of random words to train on beside the canaries")("json", po::bool_switch(),
                                                                     "One JSON object on stdout");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  for (const char* name : {"canaries", "guesses"}) {
    if (values->contains(name) && (*values)[name].as<std::int64_t>() < 1) {
      return base::Fail(base::Code::kInvalidArgument,
                        std::string("--") + name + ": give 1 or more");
    }
  }
  std::vector<std::string> overrides;
  if (values->contains("set")) overrides = (*values)["set"].as<std::vector<std::string>>();
  CLOISTER_ASSIGN_OR_RETURN(const trainer::Recipe recipe,
                            trainer::LoadRecipe((*values)["config"].as<std::string>(), overrides));
  StopSignals signals;
  CLOISTER_ASSIGN_OR_RETURN(const trainer::AuditResult result,
                            trainer::RunAudit(
                                recipe, options, [&signals] { return signals.Requested(); },
                                security::AesCtrStream::FromSystem()));
  PrintResult({{"epsilon_lower", result.verdict.epsilon_lower},
               {"confidence", options.confidence},
               {"epsilon", result.epsilon},
               {"delta", result.delta},
               {"epsilon_most", result.verdict.epsilon_most},
               {"canaries", result.verdict.seen.canaries},
               {"guesses", result.verdict.seen.guesses},
               {"correct", result.verdict.seen.correct},
               {"steps", result.steps}},
              (*values)["json"].as<bool>());
  return Compare(result, options.confidence);
}

}  // namespace

Command AuditByRecipe() {
  return {"privacy audit", "Empirical lower bound of epsilon, by attacking a recipe's training",
          Run};
}

}  // namespace cloister::cli
