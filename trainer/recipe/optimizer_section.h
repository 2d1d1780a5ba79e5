#pragma once

// Inside trainer/recipe/ only: what moves the parameters, and which of its steps' results are kept.

#include "base/result.h"
#include "trainer/recipe/recipe.h"
#include "trainer/recipe/schema.h"

namespace cloister::trainer {

// Reads `optimizer` without its schedule. kInvalidArgument for a key that is another optimizer's.
base::Result<OptimizerOptions> ReadOptimizer(const FlatRecipe& flat);

// Reads what the loss is the mean of: without privacy of the tokens where nothing is said, else of
// the examples. kInvalidArgument for tokens with privacy.
base::Result<LossMean> ReadLossMean(const FlatRecipe& flat, bool is_private);

// Whether there are held-out losses to tell the best checkpoint by, where one is asked for.
base::Status CheckKeepBest(const Recipe& recipe);

// As they stand in a recipe: `optimizer` without its schedule.
void WriteOptimizer(const OptimizerOptions& options, YAML::Node& section);
std::string_view LossMeanName(LossMean mean);

}  // namespace cloister::trainer
