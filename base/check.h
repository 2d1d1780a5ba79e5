#pragma once

#include <string_view>

namespace cloister::base {

// Prints file, line and condition and aborts.
[[noreturn]] void CheckFailed(std::string_view file, int line, std::string_view condition);

}  // namespace cloister::base

// For our own bugs and for a failing random generator, never for input.
#define CLOISTER_CHECK(condition)         \
  (static_cast<bool>(condition) ? void(0) \
                                : ::cloister::base::CheckFailed(__FILE__, __LINE__, #condition))
