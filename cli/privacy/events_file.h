#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::cli {

// A list of releases to compose, as JSON:
//   [{"mechanism": "gaussian", "noise_multiplier": 1.1, "sampling_rate": 0.01, "steps": 1000},
//    {"mechanism": "laplace", "scale": 2, "sensitivity": 1, "sampling_rate": 1, "steps": 10},
//    {"mechanism": "discrete_gaussian", "sigma": 10, "sensitivity": 1, "sampling_rate": 1, …}]
// A noise_multiplier is noise over sensitivity already: it is taken as it stands. In its place, a
// Gaussian's sigma (or scale, the same), a Laplace's scale or a discrete Gaussian's sigma is given
// in the units of `sensitivity` (1 where absent), by which it is divided. A discrete Gaussian's
// sensitivity is a whole number, told also beside a noise_multiplier.
// delta_slack, where it is given, is how far the mechanism that ran may be from the ideal one over
// all steps of the row, as runs record it: it is charged to δ.
// All rows are of one relation: what their `neighbours` say, as "zero-out"; of rows without it what
// `told` says, or add-or-remove-one where nothing does.
// At most 1 MiB and 10,000 rows. kDataLoss naming the file, row and field; kInvalidArgument where a
// row says another relation than `told` or the rows before.
base::Result<std::vector<dp::Event>> ReadEvents(const std::filesystem::path& path,
                                                std::optional<dp::Neighbours> told);

}  // namespace cloister::cli
