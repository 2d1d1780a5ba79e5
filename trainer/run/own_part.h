#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "trainer/data/example.h"
#include "trainer/data/record_data.h"
#include "trainer/distributed/ranks.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/private_side.h"
#include "trainer/run/run_probe.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// What one rank does of a step, before the ranks join their parts: by all of them together, since
// they may need one another's parameters for it. Its error is its rank's, or all ranks'. kCancelled
// where `keep_going` says so.

// The gradient of its part of the batch, which may be empty; `examples` are those of that part.
base::Result<TrainableModel::Plain> OwnGradient(Ranks& ranks,
                                                const std::vector<std::int64_t>& batch,
                                                const RecordData& data, TrainableModel& model,
                                                const Recipe::Training& training,
                                                const TrainableModel::Progress& keep_going,
                                                std::vector<Example>& examples);

// The clipped sum of the units that it drew, which may be none, and of the probe's, if any.
base::Result<TrainableModel::Clipped> OwnSum(Ranks& ranks, PrivateSide& side,
                                             const RecordData& data, TrainableModel& model,
                                             RunProbe* probe,
                                             const TrainableModel::Progress& keep_going);

// What the first rank has of a step's release, to the probe, if any; null elsewhere.
void ShowRelease(RunProbe* probe, const NoisedGradient* released);

}  // namespace cloister::trainer
