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
  double loss = 0;          // the mean over examples with an answer, or answer tokens; NaN for none
  double count = 0;         // as TrainableModel::Plain's
  std::int64_t tokens = 0;  // of examples with an answer: the others are not computed
  std::int64_t unanswered = 0;  // examples without one
};
// By all ranks together: `plain` is of this rank's `examples`.
base::Result<StepTotals> TotalsOf(Ranks& ranks, const std::vector<Example>& examples, LossMean mean,
                                  const TrainableModel::Plain& plain);

}  // namespace cloister::trainer
