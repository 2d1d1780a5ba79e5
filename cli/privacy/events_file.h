#pragma once

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::cli {

// A list of releases to compose, as JSON:
//   [{"mechanism": "gaussian", "noise_multiplier": 1.1, "sampling_rate": 0.01, "steps": 1000}, …]
// In place of noise_multiplier, `sigma` (or `scale`, the same) gives the noise's standard deviation
// in the units of `sensitivity` (1 where absent), by which it is divided. A noise_multiplier is
// noise over sensitivity already: it is taken as it stands, whatever sensitivity is beside it.
// At most 1 MiB and 10,000 rows. kDataLoss naming the file, row and field; kUnimplemented naming a
// mechanism that is known but not built.
base::Result<std::vector<dp::Event>> ReadEvents(const std::filesystem::path& path,
                                                dp::Neighbours neighbours);

}  // namespace cloister::cli
