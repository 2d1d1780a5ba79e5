#pragma once

#include <cstdio>
#include <string>

namespace cloister::trainer {

// `value` with so many digits after the point.
inline std::string Fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace cloister::trainer
