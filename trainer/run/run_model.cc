#include "trainer/run/run_model.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "model/adapter.h"

namespace cloister::trainer {

base::Result<RunModel> RunModel::Open(const Recipe& recipe) {
  CLOISTER_RETURN_IF_ERROR(TrainableModel::CheckDevice(recipe.training.compute));
  CLOISTER_ASSIGN_OR_RETURN(auto files, model::ModelFiles::Open(recipe.model));
  CLOISTER_ASSIGN_OR_RETURN(model::Architecture architecture, files->architecture());
  if (recipe.lora) CLOISTER_RETURN_IF_ERROR(model::Validate(*recipe.lora, architecture));
  if (recipe.data.max_tokens > architecture.max_context()) {
    return base::Fail(base::Code::kInvalidArgument, "data.max_tokens is more than the model's " +
                                                        std::to_string(architecture.max_context()) +
                                                        " positions: lower it");
  }
  const TrainableModel::Size size = TrainableModel::SizeOf(architecture, recipe.lora);
  return RunModel{std::move(files), std::move(architecture), size};
}

base::Result<std::unique_ptr<TrainableModel>> RunModel::Load(const Recipe& recipe,
                                                             Ranks* ranks) const {
  CLOISTER_ASSIGN_OR_RETURN(
      auto model, TrainableModel::Load(*files, recipe.lora, recipe.training.compute, ranks));
  if (recipe.lora) {
    CLOISTER_RETURN_IF_ERROR(model->SetParameters(
        model::InitialAdapter(model::AdapterLayout(*recipe.lora, architecture), recipe.lora_seed)));
  }
  return model;
}

std::uint64_t RunModel::OutputBytes(std::int64_t steps) const {
  constexpr std::uint64_t kBeside = std::uint64_t{2} << 20;  // report, card, tokenizer, settings
  constexpr std::uint64_t kOfStep = 512;                     // in events, report and TensorBoard
  return static_cast<std::uint64_t>(size.parameters) * sizeof(float) + kBeside +
         static_cast<std::uint64_t>(std::min<std::int64_t>(steps, 100'000)) * kOfStep;
}

void UseThreads(const Recipe& recipe, const Ranks& ranks) {
  const std::int64_t cores = std::thread::hardware_concurrency() / ranks.local_size();
  SetThreads(recipe.training.threads > 0 ? recipe.training.threads
                                         : std::max<std::int64_t>(1, cores));
}

bool ShardsParameters(const Recipe& recipe, const Ranks& ranks) {
  return recipe.training.compute.shard_parameters && ranks.size() > 1;
}

base::Status BeginAlike(const Recipe& recipe, Ranks& ranks, TrainableModel& model) {
  if (ShardsParameters(recipe, ranks)) return {};
  return ranks.Broadcast(std::as_writable_bytes(model.values()));
}

}  // namespace cloister::trainer
