#pragma once

#include <string_view>

#include "base/result.h"
#include "model/jinja/ast.h"
#include "model/jinja/limits.h"

namespace cloister::model::jinja {

// Reads a template. Names have no variables yet. kDataLoss, "line N: …", for a syntax error or a
// template that is nested too deep; kUnimplemented for what needs other templates (include,
// extends, import, block) and for autoescape.
base::Result<Tree> Parse(std::string_view source, const Limits& limits);

}  // namespace cloister::model::jinja
