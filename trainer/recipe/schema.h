#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace YAML {
class Node;
}

namespace cloister::trainer {

// One key of a recipe, by its dotted path, and what its value may be.
struct Field {
  enum class Kind { kText, kInteger, kReal, kTexts, kTextOrTexts, kSwitch };
  std::string_view path;
  Kind kind = Kind::kText;
  double low = 0, high = 0;   // of numbers, inclusive
  bool low_excluded = false;  // a real that must be above `low`
};

// A recipe's values by dotted path, before their meaning is looked at.
using FlatRecipe = std::map<std::string, YAML::Node>;

// Reads `text` (YAML) and lays `overrides` ("a.b=value", the value again YAML; null removes the key
// or the whole section) over it. kInvalidArgument for text that is no YAML mapping, a key that
// stands twice, an override without '='.
base::Result<FlatRecipe> Flatten(const std::string& text, std::span<const std::string> overrides);

// Everything that is wrong with the keys and values, a phrase each: unknown keys with the nearest
// known one, values of the wrong type or out of range. Empty when all is well.
std::vector<std::string> Faults(const FlatRecipe& recipe, std::span<const Field> fields);

// The known path nearest to `path` by edit distance, of the whole or of its last word.
std::string_view NearestPath(std::string_view path, std::span<const Field> fields);

}  // namespace cloister::trainer
