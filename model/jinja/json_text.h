#pragma once

#include <optional>
#include <string>

#include "model/jinja/objects.h"

namespace cloister::model::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // of one level; none puts everything on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

// Python's json.dumps. kFailedPrecondition for values that JSON does not have.
base::Result<std::string> JsonText(Heap& heap, const Value& value, const JsonStyle& style);

}  // namespace cloister::model::jinja
