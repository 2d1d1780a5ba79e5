#include "cli/train/train_command.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "cli/train/arrival_watch.h"
#include "cli/train/rank_processes.h"
#include "cli/train/stop_signals.h"
#include "cli/train/suggest.h"
#include "trainer/distributed/gloo_ranks.h"
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
--nproc N works with N processes on this machine; on several machines start the command by torchrun
or srun (docs/reference/distributed.md).
`cloister train --suggest --help` says how to be given a recipe to start from.)";

using Values = po::variables_map;

// The run, as one process of it.
base::Status Train(const Values& values, const trainer::Recipe& recipe) {
  const bool json = values["json"].as<bool>();
  StopSignals signals;
  trainer::Placement place;
  if (!values.contains("nproc")) {
    CLOISTER_ASSIGN_OR_RETURN(
        place, trainer::PlacementFrom([](const char* name) { return std::getenv(name); }));
  }
  std::optional<ArrivalWatch> arrival(std::in_place, place, signals);
  CLOISTER_ASSIGN_OR_RETURN(const auto ranks,
                            trainer::ConnectRanks(place, {}, recipe.training.compute.device));
  arrival.reset();
  const auto show = [json](const nlohmann::ordered_json& event) {
    if (json) {
      std::cout << event.dump() << std::endl;
    } else if (event["event"] != "step") {  // steps are in the progress bar
      PrintResult(event, false);
    }
  };
  trainer::RunOptions options;
  options.stop = [&signals] { return signals.Requested(); };
  options.ranks = ranks.get();
  if (values.contains("resume")) options.resume = values["resume"].as<std::string>();
  return trainer::RunTraining(recipe, show, options);
}

// `arguments` without --nproc, for the processes that it asks for.
std::vector<std::string> OfOneRank(std::span<const std::string> arguments) {
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--nproc") {
      ++i;  // and its value
    } else if (!arguments[i].starts_with("--nproc=")) {
      kept.push_back(arguments[i]);
    }
  }
  return kept;
}

base::Status Run(std::span<const std::string> arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--suggest") != arguments.end()) {
    return SuggestRecipe(arguments);
  }
  Flags flags;
  flags.usage =
      "cloister train --config RECIPE.yaml [--set section.key=value]... [--resume DIR] [--nproc N] "
      "[--json]";
  flags.about = kAbout;
  std::int64_t processes = 1;
  flags.options.add_options()("config", po::value<std::string>()->required(), "The recipe (YAML)")(
      "set", po::value<std::vector<std::string>>()->composing(),
      "Lay section.key=value over the recipe; may be repeated; null removes a key or a section")(
      "resume", po::value<std::string>(),
      "Go on with a run from the newest checkpoint in this folder, the recipe's "
      "checkpoints.folder")("nproc", po::value<std::int64_t>(&processes),
                            "Processes on this machine; 1 is one, whatever torchrun's or Slurm's "
                            "environment says")("json", po::bool_switch(),
                                                "One JSON object an event on stdout");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  if (processes < 1 || processes > 1024) {
    return base::Fail(base::Code::kInvalidArgument, "--nproc: give 1 to 1024 processes");
  }
  if (processes > 1 && std::getenv("RANK") != nullptr) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--nproc " + std::to_string(processes) +
                          " within a run of several processes (RANK is set): leave it out");
  }
  std::vector<std::string> overrides;
  if (values->contains("set")) overrides = (*values)["set"].as<std::vector<std::string>>();
  const auto recipe = trainer::LoadRecipe((*values)["config"].as<std::string>(), overrides);
  if (processes > 1) {
    CLOISTER_RETURN_IF_ERROR(recipe);
    return RunRankProcesses(processes, OfOneRank(arguments));
  }
  const base::Status ended = recipe ? Train(*values, *recipe) : tl::unexpected(recipe.error());
  TellStarter(ended);
  return ended;
}

}  // namespace

Command TrainByRecipe() { return {"train", "Fine-tune a model, with or without DP", Run}; }

}  // namespace cloister::cli
