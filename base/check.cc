#include "base/check.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace cloister::base {

void CheckFailed(std::string_view file, int line, std::string_view condition) {
  const std::string text = std::string(file) + ":" + std::to_string(line) +
                           ": check failed: " + std::string(condition) + "\n";
  std::fputs(text.c_str(), stderr);
  std::abort();
}

}  // namespace cloister::base
