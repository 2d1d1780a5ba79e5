#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"
#include "model/jinja/token.h"

namespace cloister::model::jinja {

// Reads the name, number, string or operator at `at` into `token`, whose line is set, and returns
// where it ends. kDataLoss where none stands there.
base::Result<std::size_t> ReadToken(std::string_view source, std::size_t at, Token& token);

}  // namespace cloister::model::jinja
