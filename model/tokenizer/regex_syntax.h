#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::model {

// A pattern in Oniguruma's syntax (its doc/RE: ONIG_SYNTAX_ONIGURUMA) as PCRE2 reads it with UTF,
// UCP and MULTILINE, matching the same text: classes within classes and their intersections, \h,
// \s, \w, \v, POSIX brackets and properties mean what they mean there, with Unicode 16.0's
// categories. `pattern` is UTF-8. kUnimplemented, naming the construct, for what is not read
// (absent operators, subexpression calls, …), kDataLoss for a pattern that ends too early.
base::Result<std::string> PcreFromOniguruma(std::string_view pattern);

// A pattern that matches `text` and nothing else.
std::string PcreFromText(std::string_view text);

}  // namespace cloister::model
