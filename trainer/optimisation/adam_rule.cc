#include "trainer/optimisation/adam_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cloister::trainer {
namespace {

template <bool kCorrected>
Seen Move(const AdamRates& rates, std::int64_t count, float* __restrict__ parameters,
          const float* __restrict__ gradient, float* __restrict__ first,
          float* __restrict__ second) {
  Seen seen;
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = rates.scale * gradient[i];
    first[i] += rates.first * (g - first[i]);
    second[i] += rates.second * (g * g - second[i]);
    const float before = parameters[i];
    float below;
    if constexpr (kCorrected) {
      const float signal = second[i] * rates.share - rates.noise;
      below = std::sqrt(signal > rates.floor ? signal : rates.floor);
    } else {
      below = std::sqrt(second[i]) * rates.root + rates.epsilon;
    }
    const float after = before - (rates.size * (first[i] / below) + rates.decay * before);
    parameters[i] = after;
    seen.Add(before, after);
  }
  return seen;
}

}  // namespace

AdamRates AdamRule::Rates(std::int64_t step, double rate, double scale) const {
  const auto share = [step](double beta) { return 1 - std::pow(beta, static_cast<double>(step)); };
  const double second = 1 / share(options_.beta2);
  constexpr float kLeast = std::numeric_limits<float>::min();
  AdamRates rates = {.scale = static_cast<float>(scale),
                     .first = static_cast<float>(1 - options_.beta1),
                     .second = static_cast<float>(1 - options_.beta2),
                     // 0 / 0 where neither gradient nor epsilon is left.
                     .epsilon = std::max(static_cast<float>(options_.epsilon), kLeast),
                     .decay = static_cast<float>(rate * options_.weight_decay),
                     .size = static_cast<float>(rate / share(options_.beta1)),
                     .root = static_cast<float>(std::sqrt(second)),
                     .share = static_cast<float>(second)};
  if (options_.noise_bias_floor) {
    rates.corrected = true;
    rates.noise = static_cast<float>(noise_ * second);
    rates.floor = std::max(static_cast<float>(*options_.noise_bias_floor), kLeast);
  }
  return rates;
}

Seen MoveByAdam(const AdamRates& rates, std::int64_t count, float* __restrict__ parameters,
                const float* __restrict__ gradient, float* __restrict__ first,
                float* __restrict__ second) {
  return rates.corrected ? Move<true>(rates, count, parameters, gradient, first, second)
                         : Move<false>(rates, count, parameters, gradient, first, second);
}

}  // namespace cloister::trainer
