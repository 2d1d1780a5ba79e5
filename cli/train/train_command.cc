#include "cli/train/train_command.h"

#include <algorithm>
#include <iostream>

#include "cli/train/stop_signals.h"
#include "cli/train/suggest.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/training_run.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kAbout =
    R"(Fine-tunes a LoRA adapter, or every weight of a model, on a JSONL file of conversations. The
recipe says everything; configs/ has some to copy, and dp-lora.yaml explains each key. With a
`privacy` section the run is differentially private: each step's spend is in the ledger before its
noise is used, and a run that would pass the data set's budget is refused (exit code 3). The output
folder appears when all is done: an adapter in PEFT's form or a whole model in transformers',
recipe.yaml, events.jsonl, report.html, a model card, TensorBoard files. SIGINT or SIGTERM ends the
run without them; what was spent stays spent.
With a `checkpoints` section in the recipe --resume goes on with a run that was ended or killed.
`cloister train --suggest --help` says how to be given a recipe to start from.)";

base::Status Run(std::span<const std::string> arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--suggest") != arguments.end()) {
    return SuggestRecipe(arguments);
  }
  Flags flags;
  flags.usage =
      "cloister train --config RECIPE.yaml [--set section.key=value]... [--resume DIR] [--json]";
  flags.about = kAbout;
  flags.options.add_options()("config", po::value<std::string>()->required(), "The recipe (YAML)")(
      "set", po::value<std::vector<std::string>>()->composing(),
      "Lay section.key=value over the recipe; may be repeated; null removes a key or a section")(
      "resume", po::value<std::string>(),
      "Go on with a run from the newest checkpoint in this folder, the recipe's "
      "checkpoints.folder")("json", po::bool_switch(), "One JSON object an event on stdout");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  std::vector<std::string> overrides;
  if (values->contains("set")) overrides = (*values)["set"].as<std::vector<std::string>>();
  CLOISTER_ASSIGN_OR_RETURN(const trainer::Recipe recipe,
                            trainer::LoadRecipe((*values)["config"].as<std::string>(), overrides));
  const bool json = (*values)["json"].as<bool>();
  StopSignals signals;
  const auto show = [json](const nlohmann::ordered_json& event) {
    if (json) {
      std::cout << event.dump() << std::endl;
    } else if (event["event"] != "step") {  // steps are in the progress bar
      PrintResult(event, false);
    }
  };
  trainer::RunOptions options;
  options.stop = [&signals] { return signals.Requested(); };
  if (values->contains("resume")) options.resume = (*values)["resume"].as<std::string>();
  return trainer::RunTraining(recipe, show, options);
}

}  // namespace

Command TrainByRecipe() { return {"train", "Fine-tune a model, with or without DP", Run}; }

}  // namespace cloister::cli
