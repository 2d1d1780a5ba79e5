#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::model {

// A regular expression over module names in the syntax of Python's `re`, as far as PCRE2 shares it.
// Immutable and thread-safe.
class ModulePattern {
 public:
  // kDataLoss, saying why, for a broken or overlong expression.
  static base::Result<ModulePattern> Make(const std::string& expression);

  ModulePattern(ModulePattern&&) noexcept;
  ModulePattern& operator=(ModulePattern&&) noexcept;
  ~ModulePattern();

  // Whether the whole of `name` matches, as re.fullmatch. kDataLoss when finding out takes more
  // steps than any honest expression over names needs.
  base::Result<bool> Matches(std::string_view name) const;

 private:
  struct Compiled;
  explicit ModulePattern(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace cloister::model
