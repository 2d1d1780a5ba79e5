#pragma once

#include <string>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// Python's `format % values` of a string: `values` is a tuple of them, a dict for %(name)s, or one.
base::Result<std::string> PercentFormat(Runtime& runtime, const Value& format, const Value& values);

}  // namespace cloister::model::jinja
