#pragma once

// Inside trainer/recipe/ only: which mechanism noises a private run, and what goes with it.
//
//   gaussian              Poisson-sampled batches, noise of its own for each step (DP-SGD)
//   matrix-factorization  fixed order, fixed batches, noise correlated over the steps (DP-FTRL)

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trainer/recipe/recipe.h"
#include "trainer/recipe/schema.h"

namespace cloister::trainer {

std::string_view MechanismName(const Recipe::Privacy& privacy);

// Keys that the mechanism lacks or may not have beside it, a phrase each. Of a name that is none,
// that alone.
std::vector<std::string> MechanismFaults(const FlatRecipe& flat);

// Nothing unless the mechanism is matrix-factorization. Of a recipe without faults.
std::optional<Recipe::MatrixFactorization> ReadMatrixFactorization(const FlatRecipe& flat);

// Whether the mechanism's guarantee is under the recipe's neighbour relation.
base::Status CheckNeighbours(const Recipe::Privacy& privacy);

// Whether units take part as rarely and as far apart as the recipe says, from its public numbers
// alone. kInvalidArgument that says what would be consistent.
base::Status CheckMatrixFactorization(const Recipe& recipe);

}  // namespace cloister::trainer
