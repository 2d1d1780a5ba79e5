#pragma once

#include "cli/command.h"

namespace cloister::cli {

// `cloister-train worker`: what a federation site's daemon starts to work on the data.
Command FederationWorker();

}  // namespace cloister::cli
