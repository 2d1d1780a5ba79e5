#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "trainer/data/example.h"
#include "trainer/distributed/ranks.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// By all ranks together: the mean loss of `examples`, the same on each, of which every rank takes
// its share; as TrainableModel::Loss.
base::Result<double> SharedLoss(Ranks& ranks, TrainableModel& model,
                                const std::vector<Example>& examples,
                                std::int64_t micro_batch_tokens,
                                const TrainableModel::Progress& progress);

// What a plain step's examples came to, over all ranks.
struct StepTotals {
  double loss = 0;  // mean over examples with an answer; NaN for none
  std::int64_t tokens = 0;
};
// By all ranks together: `loss` is the mean over this rank's `examples`.
base::Result<StepTotals> TotalsOf(Ranks& ranks, const std::vector<Example>& examples, double loss);

}  // namespace cloister::trainer
