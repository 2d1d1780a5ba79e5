#pragma once

// Inside trainer/recipe/ only: the section `data`, which docs/reference/data.md explains.

#include <string>
#include <vector>

#include "trainer/recipe/recipe.h"
#include "trainer/recipe/schema.h"

namespace YAML {
class Node;
}

namespace cloister::trainer {

// Values that are none, and keys that may not stand together, a phrase each.
std::vector<std::string> DataFaults(const FlatRecipe& flat);

// Of a recipe without faults.
Recipe::Data ReadData(const FlatRecipe& flat);

void WriteData(const Recipe& recipe, YAML::Node section);

}  // namespace cloister::trainer
