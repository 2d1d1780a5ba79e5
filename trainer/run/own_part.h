#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "trainer/data/example.h"
#include "trainer/data/record_data.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/private_side.h"
#include "trainer/run/run_probe.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// What one rank does of a step by itself, before the ranks join their parts. kCancelled where
// `keep_going` says so.

// The gradient of its part of the batch, which may be empty; `examples` are those of `records`.
base::Result<TrainableModel::Plain> OwnGradient(const std::vector<std::int64_t>& records,
                                                const RecordData& data, TrainableModel& model,
                                                const Recipe::Training& training,
                                                const TrainableModel::Progress& keep_going,
                                                std::vector<Example>& examples);

// The clipped sum of the units that it drew, which may be none, and of the probe's, if any.
base::Result<TrainableModel::Clipped> OwnSum(PrivateSide& side, const RecordData& data,
                                             TrainableModel& model, RunProbe* probe,
                                             const TrainableModel::Progress& keep_going);

// What the first rank has of a step's release, to the probe, if any; null elsewhere.
void ShowRelease(RunProbe* probe, const NoisedGradient* released);

}  // namespace cloister::trainer
