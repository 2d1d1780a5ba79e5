#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/jinja/value.h"

namespace cloister::model::jinja {

// Python's repr of a float: the shortest digits that read back as it, "1.0", "1e-05", "inf".
std::string FloatText(double value);

// Python's int(text, base), with its whitespace, sign, underscores and prefixes; empty where that
// is no integer or does not fit 64 bits. `base` 0 reads the prefix.
std::optional<std::int64_t> ParseInteger(std::string_view text, std::int64_t base);
// Python's float(text).
std::optional<double> ParseFloat(std::string_view text);

// Python's round(value, digits) of a float: half to even on the exact value.
double RoundTo(double value, std::int64_t digits);

// The integer that a value can be used as (an index, a width): an int or a bool.
base::Result<std::int64_t> AsInteger(const Value& value);

}  // namespace cloister::model::jinja
