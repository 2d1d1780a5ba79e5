#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "dp/clipping/clip_rule.h"
#include "dp/matrix_factorization/matrix_mechanism.h"
#include "dp/mechanism/event.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// How a private run is going to spend: fixed before a record is read, from the recipe alone.
struct PrivacyPlan {
  dp::clipping::ClipRule rule;  // of the first step
  // Of the noise on the sum over its clip norm. Below it is the mechanism's own where a count goes
  // along: both are one release.
  double noise_multiplier = 0;
  double count_weight = 0;  // as BookKeeping::Options, above 0 with an adaptive clip norm
  dp::GaussianMechanism::Parameters mechanism;
  // Where noise is correlated over the steps, the encoder and how units take part (matrix_plan.h).
  // Clip norm, dimension and lattice are `mechanism`'s all the same.
  struct Matrix {
    dp::BandedMatrix encoder;
    dp::Participation participation;
  };
  std::optional<Matrix> matrix;
  dp::Event step;          // what one step costs; with `matrix` all of them together
  std::int64_t steps = 0;  // at most the recipe's
  double epsilon = 0;      // of all steps at the recipe's delta

  dp::Event Spend(std::int64_t count) const;  // `count` steps as one event
};

// A number above 0 as messages tell it: four digits, upwards.
std::string RoundedUp(double value);

// How units are clipped at a run's first step, on so many layers.
dp::clipping::ClipRule ClipRuleOf(const Recipe::Privacy& privacy, std::int64_t layers);

// Settles noise and steps for an adapter of so many parameters on so many layers. Without a noise
// multiplier the smallest one that keeps the target ε, beside the count of an adaptive clip norm,
// whose noise stays as given; with both the step count gives way. kResourceExhausted when not one
// step fits the target, with the noise that would; kInvalidArgument for a plan that has no bound,
// and for a count that passes the target alone.
base::Result<PrivacyPlan> MakePrivacyPlan(const Recipe::Privacy& privacy, std::int64_t steps,
                                          std::int64_t parameters, std::int64_t layers);

}  // namespace cloister::trainer
