#pragma once

// Inside trainer/recipe/ only: what a run is judged by (`evaluation`), and what its report says of
// the data (`data.license`, `data.eval_consent`).

#include "base/result.h"
#include "trainer/recipe/recipe.h"
#include "trainer/recipe/schema.h"

namespace YAML {
class Node;
}

namespace cloister::trainer {

base::Status ReadEvaluation(const FlatRecipe& flat, Recipe& recipe);

// The keys as ReadEvaluation() takes them.
void WriteEvaluation(const Recipe& recipe, YAML::Node& root);

}  // namespace cloister::trainer
