#pragma once

#include <string>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// str.format: "{} {name} {0[key].attribute!r:>8}". Attributes are looked up as templates do it.
base::Result<std::string> BraceFormat(Runtime& runtime, const Value& format,
                                      const Arguments& arguments);

}  // namespace cloister::model::jinja
