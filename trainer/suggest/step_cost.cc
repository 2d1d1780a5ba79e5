#include "trainer/suggest/step_cost.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/memory.h"
#include "trainer/run/privacy_plan.h"
#include "trainer/run/run_model.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

// Bytes a trained parameter beside the model and its gradient: two moments; with privacy also the
// lattice points of the sum.
constexpr std::int64_t kMoments = 8;
constexpr std::int64_t kPoints = 8;

Example RandomExample(std::int64_t tokens, std::int64_t vocab, std::mt19937& random) {
  std::uniform_int_distribution<std::int64_t> ids(0, vocab - 1);
  Example example;
  for (std::int64_t t = 0; t < tokens; ++t) {
    example.ids.push_back(static_cast<model::TokenId>(ids(random)));
    example.answer.push_back(3 * t >= tokens ? 1 : 0);
  }
  return example;
}

base::Status Work(TrainableModel& model, const Recipe& recipe, std::span<const Example> examples,
                  std::int64_t layers) {
  if (!recipe.privacy) {
    CLOISTER_ASSIGN_OR_RETURN([[maybe_unused]] const auto plain,
                              model.Gradient(examples, recipe.training.loss_mean,
                                             recipe.training.micro_batch_tokens, {}));
    return {};
  }
  std::vector<UnitExamples> units;
  for (const Example& example : examples) units.push_back({example});
  TrainableModel::ClipOptions options;
  options.rule = ClipRuleOf(*recipe.privacy, layers);
  options.unit = recipe.privacy->unit;
  options.neighbours = recipe.privacy->neighbours;
  CLOISTER_ASSIGN_OR_RETURN(TrainableModel::Clipped clipped,
                            model.ClippedGradient(units, options, {}));
  model.Reuse(std::move(clipped.sum).Discard());
  return {};
}

}  // namespace

base::Result<RunCost> MeasureCost(const Recipe& recipe, std::int64_t unit_tokens) {
  CLOISTER_ASSIGN_OR_RETURN(const RunModel named, RunModel::Open(recipe));
  const std::int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::int64_t threads = recipe.training.threads > 0 ? recipe.training.threads : cores;
  SetThreads(threads);
  CLOISTER_ASSIGN_OR_RETURN(const std::unique_ptr<TrainableModel> model, named.Load(recipe));
  std::mt19937 random(1);
  std::vector<Example> examples;
  const std::int64_t together =
      recipe.privacy ? 2 * threads
                     : std::max<std::int64_t>(1, recipe.training.micro_batch_tokens / unit_tokens);
  for (std::int64_t i = 0; i < together; ++i) {
    examples.push_back(RandomExample(unit_tokens, named.architecture.vocab_size, random));
  }
  // The first pass prepares what later ones use again.
  CLOISTER_RETURN_IF_ERROR(Work(*model, recipe, examples, named.size.layers));
  const auto begin = std::chrono::steady_clock::now();
  CLOISTER_RETURN_IF_ERROR(Work(*model, recipe, examples, named.size.layers));
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  RunCost cost;
  cost.parameters = named.size.parameters;
  cost.seconds_a_unit = spent.count() / static_cast<double>(together);
  const double batch = recipe.privacy ? recipe.privacy->sampling_rate *
                                            static_cast<double>(recipe.privacy->nominal_units)
                                      : static_cast<double>(recipe.training.batch_size);
  cost.seconds_a_step = cost.seconds_a_unit * batch;
  cost.seconds = cost.seconds_a_step * static_cast<double>(recipe.training.steps);
  cost.peak_bytes = base::PeakMemory().value_or(0) +
                    named.size.parameters * (kMoments + (recipe.privacy ? kPoints : 0));
  return cost;
}

}  // namespace cloister::trainer
