#include "trainer/optimisation/adamw.h"

#include <cmath>

#include "base/check.h"

namespace cloister::trainer {

AdamW::AdamW(const Options& options, std::size_t parameters)
    : options_(options), first_(parameters, 0.0), second_(parameters, 0.0) {}

void AdamW::Step(std::span<float> parameters, std::span<const double> gradient) {
  CLOISTER_CHECK(parameters.size() == first_.size() && gradient.size() == first_.size());
  ++steps_;
  const double first_share = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double second_share = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const double g = gradient[i];
    first_[i] += (1 - options_.beta1) * (g - first_[i]);
    second_[i] += (1 - options_.beta2) * (g * g - second_[i]);
    const double direction =
        first_[i] / first_share / (std::sqrt(second_[i] / second_share) + options_.epsilon);
    const double value = parameters[i];
    parameters[i] = static_cast<float>(value - options_.learning_rate *
                                                   (direction + options_.weight_decay * value));
  }
}

}  // namespace cloister::trainer
