#include "trainer/distributed/shared_loss.h"

#include <algorithm>
#include <array>
#include <span>

namespace cloister::trainer {
namespace {

double WithAnswer(const std::vector<Example>& examples) {
  return static_cast<double>(
      std::count_if(examples.begin(), examples.end(),
                    [](const Example& example) { return example.answer_tokens() > 0; }));
}

}  // namespace

base::Result<double> SharedLoss(Ranks& ranks, TrainableModel& model,
                                const std::vector<Example>& examples,
                                std::int64_t micro_batch_tokens,
                                const TrainableModel::Progress& progress) {
  if (ranks.size() == 1) return model.Loss(examples, micro_batch_tokens, progress);
  const std::vector<Example> own = ranks.Deal(examples);
  CLOISTER_ASSIGN_OR_RETURN(const double loss,
                            ranks.Agreed(model.Loss(own, micro_batch_tokens, progress)));
  CLOISTER_ASSIGN_OR_RETURN(const StepTotals totals, TotalsOf(ranks, own, loss));
  return totals.loss;
}

base::Result<StepTotals> TotalsOf(Ranks& ranks, const std::vector<Example>& examples, double loss) {
  if (ranks.size() == 1) return StepTotals{loss, TokensOf(examples)};
  const double count = WithAnswer(examples);
  std::array<double, 3> sums = {count > 0 ? loss * count : 0, count,
                                static_cast<double>(TokensOf(examples))};
  CLOISTER_RETURN_IF_ERROR(ranks.Sum(sums));
  return StepTotals{sums[0] / sums[1], static_cast<std::int64_t>(sums[2])};
}

}  // namespace cloister::trainer
