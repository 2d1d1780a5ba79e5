#pragma once

#include "base/result.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// `recipe` with the targets that its pattern, if any, means in its model. kInvalidArgument, naming
// the key, as model::WithTargetsOf; errors of opening the model.
base::Result<Recipe> ResolveTargets(const Recipe& recipe);

}  // namespace cloister::trainer
