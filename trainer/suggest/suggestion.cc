#include "trainer/suggest/suggestion.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/memory.h"
#include "dp/accounting/rdp_accountant.h"
#include "model/model_files.h"
#include "trainer/suggest/step_choice.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kMostUnits = 1'000'000'000;
constexpr std::int64_t kPlainBatch = 16;
constexpr std::int64_t kMicroBatch = 4;  // units of the longest length
constexpr double kMostEpochs = 1000;
constexpr double kBudgetRoom =
    1.2;  // over the target: the ledger's filter counts more than a plan's ε

std::string Number(double value, const char* form = "%.4g") {
  char text[64];
  std::snprintf(text, sizeof text, form, value);
  return text;
}

base::Status Check(const SuggestionRequest& request) {
  const auto refuse = [](const std::string& what) {
    return base::Fail(base::Code::kInvalidArgument, what);
  };
  if (request.units < kLeastBatch || request.units > kMostUnits) {
    return refuse("--units: name a number from " + std::to_string(kLeastBatch) + " to 10^9");
  }
  if (request.max_tokens && *request.max_tokens < 2) {
    return refuse("--max-tokens: name a number from 2 on");
  }
  if (request.epochs && !(*request.epochs > 0 && *request.epochs <= kMostEpochs)) {
    return refuse("--epochs: name a number above 0, up to 1000");
  }
  if (request.privacy &&
      !(request.privacy->epsilon > 0 && std::isfinite(request.privacy->epsilon))) {
    return refuse("--epsilon: name a number above 0");
  }
  if (request.privacy && request.privacy->delta) {
    const double most = 1 / static_cast<double>(request.units);
    if (!(*request.privacy->delta > 0 && *request.privacy->delta < most)) {
      return refuse("--delta: name a number above 0 and below one over the units, " +
                    Number(most) + ": at that a method that publishes one of them would pass");
    }
  }
  return {};
}

// Where a longer record is cut: within the model's positions.
base::Result<std::int64_t> MaxTokens(const SuggestionRequest& request) {
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(request.model));
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  const std::int64_t most = architecture.max_context();
  const std::int64_t tokens = request.max_tokens.value_or(std::min(kMaxTokens, most));
  if (tokens > most) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--max-tokens: the model has " + std::to_string(most) +
                          " positions: name at most so many");
  }
  if (request.unit_tokens < 2 || request.unit_tokens > tokens) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--tokens: name a number from 2 to " + std::to_string(tokens) +
                          ", where a longer record is cut");
  }
  return tokens;
}

// Below a tenth of one over the units: then not even one of them need fear to be the exception.
double DeltaFor(std::int64_t units) {
  return std::pow(10, std::floor(std::log10(0.1 / static_cast<double>(units)) + 1e-9));
}

// What the ledger's filter counts for the plan, which is more than the plan's ε: upwards to a
// tenth.
base::Result<double> BudgetFor(const StepChoice& choice, const Recipe::Privacy& privacy) {
  const dp::Event event = {choice.noise_multiplier, choice.sampling_rate, choice.steps,
                           privacy.neighbours};
  CLOISTER_ASSIGN_OR_RETURN(const double counted, dp::RdpEpsilon({&event, 1}, privacy.delta));
  return std::ceil(10 * kBudgetRoom * counted) / 10;
}

void ChooseModel(const SuggestionRequest& request, std::int64_t max_tokens, Suggestion& made) {
  Recipe& recipe = made.recipe;
  recipe.model = request.model;
  recipe.output = request.output;
  recipe.data.train = request.train;
  recipe.data.eval = request.eval;
  recipe.data.max_tokens = max_tokens;
  recipe.training.micro_batch_tokens = kMicroBatch * max_tokens;
  recipe.optimizer.weight_decay = 0;
  if (request.method == SuggestionRequest::Method::kFull) {
    recipe.optimizer.learning_rate = request.privacy ? 1e-4 : 2e-5;
    made.reasons.push_back("learning_rate " + Number(recipe.optimizer.learning_rate) +
                           ": of all weights, a tenth or less of an adapter's.");
    return;
  }
  if (request.method == SuggestionRequest::Method::kQlora) {
    recipe.training.compute.base = BaseWeights::kNf4;
    recipe.training.compute.activation_checkpointing = true;
  }
  if (request.privacy) {
    recipe.lora = {.rank = 1, .alpha = 4, .targets = {"v_proj"}};
    recipe.optimizer.learning_rate = 4e-3;
    made.reasons.push_back(
        "lora and learning_rate 4e-3: few parameters carry less noise; measured with the demo "
        "(docs/benchmarks.md).");
  } else {
    recipe.lora = {.rank = 8, .alpha = 16, .targets = {"q_proj", "v_proj"}};
    recipe.optimizer.learning_rate = 2e-4;
    recipe.schedule.shape = Schedule::Shape::kCosine;
    made.reasons.push_back(
        "lora of rank 8 on q_proj and v_proj, learning_rate 2e-4 with a cosine: "
        "what adapters are usually begun with.");
  }
}

void ChoosePlainSteps(const SuggestionRequest& request, Suggestion& made) {
  const double epochs = request.epochs.value_or(kPlainEpochs);
  Recipe::Training& training = made.recipe.training;
  training.batch_size = std::min(kPlainBatch, request.units);
  training.steps =
      std::max<std::int64_t>(1, std::llround(epochs * static_cast<double>(request.units) /
                                             static_cast<double>(training.batch_size)));
  if (made.recipe.schedule.shape != Schedule::Shape::kConstant) {
    made.recipe.schedule.warmup_steps = training.steps / 20;
  }
  made.reasons.push_back("steps " + std::to_string(training.steps) + ": " + Number(epochs) +
                         " passes over " + std::to_string(request.units) +
                         " records in batches of " + std::to_string(training.batch_size) + ".");
}

base::Status ChoosePrivacy(const SuggestionRequest& request, Suggestion& made) {
  const double epochs = request.epochs.value_or(kPrivateEpochs);
  Recipe::Privacy& privacy = made.recipe.privacy.emplace();
  privacy.target_epsilon = request.privacy->epsilon;
  privacy.delta = request.privacy->delta.value_or(DeltaFor(request.units));
  privacy.unit = request.privacy->unit;
  privacy.neighbours = dp::Neighbours::kAddOrRemoveOne;
  privacy.clip_norm = 0.1;
  privacy.nominal_units = request.units;
  privacy.nominal_tokens = request.unit_tokens;
  privacy.ledger = std::filesystem::path("ledgers") / (request.train.stem().string() + ".sqlite");
  privacy.budget_delta = privacy.delta;
  CLOISTER_ASSIGN_OR_RETURN(const StepChoice choice,
                            ChooseSteps({privacy.target_epsilon.value(), privacy.delta,
                                         privacy.neighbours, request.units, epochs}));
  made.recipe.training.steps = choice.steps;
  made.recipe.training.seed = 0;
  privacy.sampling_rate = choice.sampling_rate;
  made.noise_multiplier = choice.noise_multiplier;
  CLOISTER_ASSIGN_OR_RETURN(privacy.budget_epsilon, BudgetFor(choice, privacy));
  const double batch = choice.sampling_rate * static_cast<double>(request.units);
  made.reasons.push_back("steps " + std::to_string(choice.steps) + " at sampling_rate " +
                         Number(choice.sampling_rate) + ", an expected batch of " +
                         Number(batch, "%.0f") + ": " + Number(epochs) +
                         " passes in as many steps as a noise multiplier of " +
                         Number(kLeastNoise) + " or more allows (here " +
                         Number(choice.noise_multiplier) + "); smaller steps would add noise.");
  made.reasons.push_back(
      "clip_norm 0.1: near the usual norm of a mean loss's gradient at the start.");
  if (!request.privacy->delta) {
    made.reasons.push_back("delta " + Number(privacy.delta) +
                           ": a power of ten, at most a tenth of one over the units.");
  }
  made.reasons.push_back(
      "neighbours, unit, delta, budget: what they promise is yours to decide; nominal_units must "
      "be "
      "a figure that may be known.");
  return {};
}

// Where the machine has less memory than the run wants, layers are computed twice.
base::Status FitMemory(const SuggestionRequest& request, Suggestion& made) {
  const auto here = base::AvailableMemory();
  bool& checkpointing = made.recipe.training.compute.activation_checkpointing;
  const auto fits = [&] { return !here || made.cost.peak_bytes < *here; };
  if (fits()) return {};
  if (!checkpointing) {
    checkpointing = true;
    CLOISTER_ASSIGN_OR_RETURN(made.cost, MeasureCost(made.recipe, request.unit_tokens));
    made.reasons.push_back(
        "activation_checkpointing: without it the run wants more memory than is free here.");
  }
  if (!fits()) {
    made.reasons.push_back("Memory: " + Number(static_cast<double>(*here) / (1 << 20), "%.0f") +
                           " MiB are free here, less than the run wants: take --method qlora, a "
                           "smaller --max-tokens or a smaller model.");
  }
  return {};
}

std::string TimeText(double seconds) {
  const double hours = seconds / 3600;
  if (hours < 2) return Number(seconds / 60, "%.1f") + " minutes";
  return hours < 48 ? Number(hours, "%.1f") + " hours" : Number(hours / 24, "%.1f") + " days";
}

}  // namespace

std::string Suggestion::ToText() const {
  std::string text = "# A recipe to start from, made by `cloister train --suggest`.\n#\n";
  for (const std::string& reason : reasons) text += "# " + reason + "\n";
  text += "#\n# Predicted here: " + Number(cost.seconds_a_step, "%.2f") + " s a step, " +
          TimeText(cost.seconds) + " in all without evaluation, " +
          Number(static_cast<double>(cost.peak_bytes) / (1 << 20), "%.0f") + " MiB, " +
          std::to_string(cost.parameters) + " trained parameters.\n";
  return text + ToYaml(recipe);
}

base::Result<Suggestion> Suggest(const SuggestionRequest& request) {
  CLOISTER_RETURN_IF_ERROR(Check(request));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t max_tokens, MaxTokens(request));
  Suggestion made;
  ChooseModel(request, max_tokens, made);
  if (request.privacy) {
    CLOISTER_RETURN_IF_ERROR(ChoosePrivacy(request, made));
  } else {
    ChoosePlainSteps(request, made);
  }
  made.recipe.training.eval_every = std::max<std::int64_t>(1, made.recipe.training.steps / 5);
  CLOISTER_ASSIGN_OR_RETURN(made.cost, MeasureCost(made.recipe, request.unit_tokens));
  CLOISTER_RETURN_IF_ERROR(FitMemory(request, made));
  return made;
}

}  // namespace cloister::trainer
