#pragma once

#include "model/jinja/ast.h"

namespace cloister::model::jinja {

// Whether an expression names no variable and calls nothing, so that Jinja computes it when it
// compiles a template.
bool IsConstant(const Expression& expression);

}  // namespace cloister::model::jinja
