#include "trainer/run/run_model.h"

#include <string>
#include <utility>

#include "model/adapter.h"

namespace cloister::trainer {

base::Result<RunModel> RunModel::Open(const Recipe& recipe) {
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

bool ShardsParameters(const Recipe& recipe, const Ranks& ranks) {
  return recipe.training.compute.shard_parameters && ranks.size() > 1;
}

base::Status BeginAlike(const Recipe& recipe, Ranks& ranks, TrainableModel& model) {
  if (ShardsParameters(recipe, ranks)) return {};
  return ranks.Broadcast(std::as_writable_bytes(model.values()));
}

}  // namespace cloister::trainer
