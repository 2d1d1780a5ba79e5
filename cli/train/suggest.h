#pragma once

#include <span>
#include <string>

#include "base/result.h"

namespace cloister::cli {

// `cloister train --suggest`: its arguments, the word itself among them.
base::Status SuggestRecipe(std::span<const std::string> arguments);

}  // namespace cloister::cli
