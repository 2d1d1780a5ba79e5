#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "trainer/distributed/ranks.h"
#include "trainer/recipe/recipe.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// The model that a recipe names: what a run must know of it before it is worth loading.
struct RunModel {
  std::shared_ptr<const model::ModelFiles> files;
  model::Architecture architecture;
  TrainableModel::Size size;

  // kInvalidArgument where the recipe asks for what the model is not.
  static base::Result<RunModel> Open(const Recipe& recipe);
  // As the recipe begins with it; of several `ranks`, as far as this one is to keep it.
  base::Result<std::unique_ptr<TrainableModel>> Load(const Recipe& recipe,
                                                     Ranks* ranks = nullptr) const;
  // About the size of what a run leaves.
  std::uint64_t OutputBytes(std::int64_t steps) const;
};

// As many threads as the recipe says, or this rank's part of the machine's cores.
void UseThreads(const Recipe& recipe, const Ranks& ranks);

// Whether each rank keeps its shard of the parameters alone.
bool ShardsParameters(const Recipe& recipe, const Ranks& ranks);
// By all ranks together: they begin with what the first has. With sharded parameters each begins
// with its own, of which no other has a copy.
base::Status BeginAlike(const Recipe& recipe, Ranks& ranks, TrainableModel& model);

}  // namespace cloister::trainer
