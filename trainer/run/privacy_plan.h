#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/clipping/clip_rule.h"
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
  dp::Event step;          // what one step costs
  std::int64_t steps = 0;  // at most the recipe's
  double epsilon = 0;      // of all steps at the recipe's delta

  dp::Event Spend(std::int64_t count) const;  // `count` steps as one event
};

// Settles noise and steps for an adapter of so many parameters on so many layers. Without a noise
// multiplier the smallest one that keeps the target ε; with both the step count gives way.
// kResourceExhausted when not one step fits the target, kInvalidArgument for a plan that has no
// bound.
base::Result<PrivacyPlan> MakePrivacyPlan(const Recipe::Privacy& privacy, std::int64_t steps,
                                          std::int64_t parameters, std::int64_t layers);

}  // namespace cloister::trainer
