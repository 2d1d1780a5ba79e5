#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// Python's format mini-language: [[fill]align][sign][#][0][width][grouping][.precision][type].
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // < > ^ =, or 0 for the type's own
  char sign = '-';
  bool alternate = false;
  std::int64_t width = -1;
  char grouping = 0;  // , _ or 0
  std::int64_t precision = -1;
  char type = 0;
};

base::Result<FormatSpec> ParseFormatSpec(std::string_view text);

// Python's format(value, spec).
base::Result<std::string> FormatValue(Runtime& runtime, const Value& value, std::string_view spec);

// A number without its sign, by one of the types b c d o x X of integers, or e f g (and E F G) and
// % of floats. `precision` < 0 is the type's own.
std::string IntegerDigits(std::int64_t value, char type);
base::Result<std::string> RealDigits(Heap& heap, double value, char type, std::int64_t precision,
                                     bool alternate);

// Sign, prefix and digits filled up to spec.width.
base::Result<std::string> PadNumber(Heap& heap, const std::string& sign, std::string digits,
                                    const FormatSpec& spec);

}  // namespace cloister::model::jinja
