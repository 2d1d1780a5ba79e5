#pragma once

#include "cli/command.h"

namespace cloister::cli {

// `cloister train`: fine-tune by a recipe.
Command TrainByRecipe();

}  // namespace cloister::cli
