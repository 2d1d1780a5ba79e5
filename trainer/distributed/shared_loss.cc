#include "trainer/distributed/shared_loss.h"

#include <array>
#include <span>

namespace cloister::trainer {
namespace {

struct Answered {
  double examples = 0, tokens = 0;
};
Answered AnsweredOf(const std::vector<Example>& examples) {
  Answered answered;
  for (const Example& example : examples) {
    if (example.answer_tokens() == 0) continue;
    answered.examples += 1;
    answered.tokens += static_cast<double>(example.tokens());
  }
  return answered;
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
  const double weight = AnsweredOf(own).examples;
  std::array<double, 2> sums = {Part(loss, weight), weight};
  CLOISTER_RETURN_IF_ERROR(ranks.Sum(sums));
  return sums[0] / sums[1];
}

base::Result<StepTotals> TotalsOf(Ranks& ranks, const std::vector<Example>& examples, LossMean mean,
                                  const TrainableModel::Plain& plain) {
  const Answered answered = AnsweredOf(examples);
  const double unanswered = static_cast<double>(examples.size()) - answered.examples;
  if (ranks.size() == 1) {
    return StepTotals{plain.loss, plain.count, static_cast<std::int64_t>(answered.tokens),
                      static_cast<std::int64_t>(unanswered)};
  }
  const double weight = mean == LossMean::kToken ? plain.count : answered.examples;
  std::array<double, 5> sums = {Part(plain.loss, weight), weight, plain.count, answered.tokens,
                                unanswered};
  CLOISTER_RETURN_IF_ERROR(ranks.Sum(sums));
  return StepTotals{sums[0] / sums[1], sums[2], static_cast<std::int64_t>(sums[3]),
                    static_cast<std::int64_t>(sums[4])};
}

}  // namespace cloister::trainer
