#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/jinja/token.h"

namespace cloister::model::jinja {

// Cuts a template into tokens as Jinja does with trim_blocks and lstrip_blocks on and
// keep_trailing_newline off: the first line break behind a block goes, and so does the indent
// before one. The last token is kEnd. kDataLoss, "line N: …", for text that is no template.
base::Result<std::vector<Token>> Tokenize(std::string_view source);

// A syntax error.
tl::unexpected<base::Error> SyntaxFault(int line, const std::string& message);

}  // namespace cloister::model::jinja
