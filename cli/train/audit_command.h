#pragma once

#include "cli/command.h"

namespace cloister::cli {

// `cloister privacy audit`: attack the training that a recipe describes.
Command AuditByRecipe();

}  // namespace cloister::cli
