#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/mechanism/event.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// How a private run is going to spend: fixed before a record is read, from the recipe alone.
struct PrivacyPlan {
  dp::GaussianMechanism::Parameters mechanism;
  dp::Event step;          // what one step costs
  std::int64_t steps = 0;  // at most the recipe's
  double epsilon = 0;      // of all steps at the recipe's delta

  dp::Event Spend(std::int64_t count) const;  // `count` steps as one event
};

// Settles noise and steps for `parameters` adapter parameters. Without a noise multiplier the
// smallest one that keeps the target ε; with both the step count gives way. kResourceExhausted when
// not one step fits the target, kInvalidArgument for a plan that has no bound.
base::Result<PrivacyPlan> MakePrivacyPlan(const Recipe::Privacy& privacy, std::int64_t steps,
                                          std::int64_t parameters);

}  // namespace cloister::trainer
