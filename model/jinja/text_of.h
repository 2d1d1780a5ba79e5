#pragma once

#include <string>

#include "model/jinja/value.h"

namespace cloister::model::jinja {

// Python's str(value): what `{{ value }}` writes.
base::Result<std::string> TextOf(const Value& value);
// The same, added to `text`: the evaluator's inner loop.
base::Status AppendText(const Value& value, std::string& text);

// Python's repr(value): what a value looks like inside a printed list. `ascii`: everything beyond
// ASCII is escaped.
base::Result<std::string> ReprOf(const Value& value, bool ascii = false);

}  // namespace cloister::model::jinja
