#include "trainer/suggest/step_choice.h"

#include <algorithm>
#include <cmath>

#include "dp/accounting/calibration.h"

namespace cloister::trainer {

base::Result<StepChoice> ChooseSteps(const StepQuestion& question) {
  const dp::PrivacyGoal goal = {.epsilon = question.epsilon,
                                .delta = question.delta,
                                .neighbours = question.neighbours,
                                .accountant = dp::Accountant::kPld};
  const auto at = [&](std::int64_t steps) -> base::Result<StepChoice> {
    const double rate = std::min(1.0, question.epochs / static_cast<double>(steps));
    CLOISTER_ASSIGN_OR_RETURN(const double noise, dp::SmallestNoise(goal, rate, steps));
    return StepChoice{steps, rate, noise};
  };
  const auto least = std::max<std::int64_t>(1, std::llround(std::ceil(question.epochs)));
  const double most_steps =
      question.epochs * static_cast<double>(question.units) / static_cast<double>(kLeastBatch);
  const std::int64_t most = std::max(least, static_cast<std::int64_t>(most_steps));
  CLOISTER_ASSIGN_OR_RETURN(StepChoice best, at(least));
  std::int64_t low = least;
  std::int64_t high = most + 1;
  // The noise falls as steps rise.
  while (high - low > std::max<std::int64_t>(1, low / 50)) {
    const std::int64_t middle = low + (high - low) / 2;
    CLOISTER_ASSIGN_OR_RETURN(const StepChoice choice, at(middle));
    if (choice.noise_multiplier >= kLeastNoise) {
      low = middle;
      best = choice;
    } else {
      high = middle;
    }
  }
  return best;
}

}  // namespace cloister::trainer
