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

// A mean over `weight` things, as a part of a sum.
double Part(double mean, double weight) { return weight > 0 ? mean * weight : 0; }

}  // namespace

base::Result<double> SharedLoss(Ranks& ranks, TrainableModel& model,
                                const std::vector<Example>& examples,
                                std::int64_t micro_batch_tokens,
                                const TrainableModel::Progress& progress) {
  if (ranks.size() == 1) return model.Loss(examples, micro_batch_tokens, progress);
  const std::vector<Example> own = ranks.Deal(examples);
  CLOISTER_ASSIGN_OR_RETURN(const double loss,
                            ranks.Agreed(model.Loss(own, micro_batch_tokens, progress)));
  const double weight = WithAnswer(own);
  std::array<double, 2> sums = {Part(loss, weight), weight};
  CLOISTER_RETURN_IF_ERROR(ranks.Sum(sums));
  return sums[0] / sums[1];
}

base::Result<StepTotals> TotalsOf(Ranks& ranks, const std::vector<Example>& examples, LossMean mean,
                                  const TrainableModel::Plain& plain) {
  if (ranks.size() == 1) return StepTotals{plain.loss, plain.count, TokensOf(examples)};
  const double weight = mean == LossMean::kToken ? plain.count : WithAnswer(examples);
  std::array<double, 4> sums = {Part(plain.loss, weight), weight, plain.count,
                                static_cast<double>(TokensOf(examples))};
  CLOISTER_RETURN_IF_ERROR(ranks.Sum(sums));
  return StepTotals{sums[0] / sums[1], sums[2], static_cast<std::int64_t>(sums[3])};
}

}  // namespace cloister::trainer
