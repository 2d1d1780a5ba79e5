#include "trainer/report/run_summary.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "trainer/checkpoint/input_digest.h"
#include "trainer/run/privacy_plan.h"

namespace cloister::trainer {
namespace {

using Texts = std::vector<std::string>;

std::string MethodText(const Recipe& recipe) {
  if (!recipe.lora) return "full fine-tuning, every weight";
  std::string text = std::string(recipe.lora->rank_stabilized ? "rsLoRA" : "LoRA") +
                     " adapter, rank " + std::to_string(recipe.lora->rank) + ", alpha " +
                     Readable(recipe.lora->alpha) + ", on ";
  for (std::size_t i = 0; i < recipe.lora->targets.size(); ++i) {
    text += (i > 0 ? ", " : "") + recipe.lora->targets[i];
  }
  return text;
}

std::string Yaml(const Recipe& recipe, std::int64_t planned_steps) {
  std::string yaml = ToYaml(recipe);
  if (recipe.training.steps < planned_steps) {
    yaml += "# planned_steps: " + std::to_string(planned_steps) +
            " (privacy.target_epsilon cut training.steps)\n";
  }
  return yaml;
}

std::string ConsentText(const Recipe& recipe) {
  if (!recipe.data.eval_consent) {
    return "The recipe does not say whether they are public or shown by consent "
           "(data.eval_consent): settle that before passing this on.";
  }
  return *recipe.data.eval_consent == Recipe::Consent::kPublic
             ? "The recipe states that they are public."
             : "The recipe states that those whose records they are consent to these figures.";
}

Texts PrivateCoverage(const Recipe& recipe, const RunHistory& history) {
  Texts texts = {
      "Covered by ε: the trained parameters, and with them whatever is computed from them without "
      "looking at the training records again.",
      "ε is of this run alone. The ledger of these records adds up all runs on them, and lets them "
      "spend ε " +
          Readable(recipe.privacy->budget_epsilon) + " at δ " +
          Readable(recipe.privacy->budget_delta) + " in all.",
      "Steps, learning rate, noise and sampling come from the recipe and tell nothing of the "
      "records."};
  if (!history.clip_norm.empty()) {
    texts.push_back(
        "The clip norm follows a count that is released with noise of its own: ε covers it.");
  }
  if (history.lost > 0) {
    texts.push_back("Steps that were debited and whose results were lost: " +
                    std::to_string(history.lost) + ". ε counts them.");
  }
  if (!history.held_out_loss.empty() || !history.judged.empty()) {
    texts.push_back(
        "Not covered by ε for the records that they are of: held-out losses and evaluation "
        "figures. Those are held-out records, of which none was trained on; about the training "
        "records the figures tell nothing beyond the parameters. " +
        ConsentText(recipe));
  }
  texts.push_back(
      "Training losses, gradient norms, times and memory depend on the training records without "
      "noise: none of them stands here or in any file beside this one.");
  return texts;
}

Texts PlainCoverage(const RunHistory& history) {
  Texts texts = {
      "This run was not private: what it trained may contain any of the training records, and no "
      "ε holds for it.",
      "Training losses are means over the batch of each step, of the training records."};
  if (!history.held_out_loss.empty() || !history.judged.empty()) {
    texts.push_back(
        "Held-out losses and evaluation figures are of the files that the recipe names for them; "
        "without privacy nothing checks that none of their records was trained on.");
  }
  return texts;
}

// The name that people know a figure of `evaluation` by, and the key of its number of rows.
struct Known {
  const char* key;
  const char* name;
  const char* rows;
};
constexpr Known kKnown[] = {
    {"perplexity", "perplexity (lower is better)", "perplexity_rows"},
    {"token_accuracy", "token accuracy", "perplexity_rows"},
    {"acc", "multiple choice, by likelihood (acc)", "multiple_choice_rows"},
    {"acc_norm", "multiple choice, by likelihood over length (acc_norm)", "multiple_choice_rows"},
    {"exact_match", "exact match, generated", "exact_match_rows"},
};

std::vector<RunSummary::Figure> FiguresOf(const RunHistory& history) {
  std::vector<RunSummary::Figure> figures;
  if (!history.held_out_loss.empty()) {
    figures.push_back({"held-out loss (lower is better)", "held_out_loss", "",
                       history.held_out_loss.front().value, history.held_out_loss.back().value});
  }
  if (history.judged.empty()) return figures;
  const auto& first = history.judged.front().figures;
  const auto& last = history.judged.back().figures;
  for (const Known& known : kKnown) {
    if (!first.contains(known.key) || !last.contains(known.key)) continue;
    figures.push_back({known.name, known.key,
                       last.value(known.rows, nlohmann::ordered_json()).dump(),
                       first[known.key].get<double>(), last[known.key].get<double>()});
  }
  return figures;
}

}  // namespace

std::string Readable(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string ReadableEpsilon(double epsilon) {
  return epsilon > 0 && std::isfinite(epsilon) ? RoundedUp(epsilon) : Readable(epsilon);
}

std::string Exact(double value) { return nlohmann::json(value).dump(); }

base::Result<RunSummary> Summarize(const FinishedRun& run) {
  const Recipe& recipe = run.recipe;
  RunSummary summary;
  const std::filesystem::path& output = recipe.output;
  summary.name = (output.has_filename() ? output : output.parent_path()).filename().string();
  summary.recipe_yaml = Yaml(recipe, run.planned_steps);
  summary.adapter = recipe.lora.has_value();
  summary.method = MethodText(recipe);
  summary.steps = recipe.training.steps;
  summary.planned_steps = run.planned_steps;
  summary.base = DescribeBase(recipe.model);
  summary.base_id =
      summary.base.repository.empty() ? recipe.model.string() : summary.base.repository;
  summary.data_name = recipe.data.train.filename().string();
  summary.data_license = recipe.data.license.value_or("");
  summary.history = ReadHistory(run.events, recipe);
  summary.figures = FiguresOf(summary.history);
  if (run.spend) {
    summary.data_hash = run.spend->data_set;
    summary.data_hash_kind =
        "hash under the ledger's key: whoever holds the key can tell the data set by it, nobody "
        "else can confirm a guess";
    CLOISTER_ASSIGN_OR_RETURN(summary.privacy, MakePrivacyStatement(recipe, *run.spend));
    summary.coverage = PrivateCoverage(recipe, summary.history);
  } else {
    const auto digest = FileDigest(recipe.data.train);
    summary.data_hash = digest.value_or("");
    // What is trained must not be lost because a file went away meanwhile.
    summary.data_hash_kind = digest ? "SHA-256" : "not known: the file could not be read any more";
    summary.coverage = PlainCoverage(summary.history);
  }
  return summary;
}

}  // namespace cloister::trainer
