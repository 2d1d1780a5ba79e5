#pragma once

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::cli {

// A list of releases to compose, as JSON:
//   [{"mechanism": "gaussian", "noise_multiplier": 1.1, "sampling_rate": 0.01, "steps": 1000}, …]
// `sensitivity` may stand beside them: a multiplier is noise over sensitivity, so it must be 1.
// At most 1 MiB and 10,000 rows. kDataLoss naming the file, row and field; kUnimplemented naming a
// mechanism that is known but not built.
base::Result<std::vector<dp::Event>> ReadEvents(const std::filesystem::path& path,
                                                dp::Neighbours neighbours);

}  // namespace cloister::cli
