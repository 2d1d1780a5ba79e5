#pragma once

#include <algorithm>

#include "model/jinja/ast.h"

namespace cloister::model::jinja {

// How many expressions stand inside one another.
inline int HeightOf(const ExpressionPointer& part) { return part == nullptr ? 0 : part->height; }

inline int HeightOf(const Expressions& parts) {
  int height = 0;
  for (const ExpressionPointer& part : parts) height = std::max(height, HeightOf(part));
  return height;
}

inline int HeightOf(const CallArguments& arguments) {
  int height = std::max({HeightOf(arguments.positional), HeightOf(arguments.more_positional),
                         HeightOf(arguments.more_named)});
  for (const auto& [name, value] : arguments.named) height = std::max(height, HeightOf(value));
  return height;
}

}  // namespace cloister::model::jinja
