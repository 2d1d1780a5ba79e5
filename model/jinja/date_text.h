#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// The memory that a date's text is written into, whatever its length.
inline constexpr std::size_t kDateTextBytes = std::size_t{1} << 16;
// Python's datetime.now().strftime(format), in the C locale: of `date` at midnight, or of the local
// time where that is empty.
base::Result<std::string> DateText(const std::optional<Date>& date, const std::string& format);

// "2026-11-23". kInvalidArgument for anything else, or a day that there is not.
base::Result<Date> ParseDate(const std::string& text);

}  // namespace cloister::model::jinja
