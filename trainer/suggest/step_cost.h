#pragma once

#include <cstdint>

#include "base/result.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// What a run of the recipe is going to take on this machine.
struct RunCost {
  double seconds_a_unit = 0;    // forward, backward, clipping
  double seconds_a_step = 0;    // of a batch of the expected size, evaluation left out
  double seconds = 0;           // of all steps
  std::int64_t peak_bytes = 0;  // of the process, the optimizer's state included
  std::int64_t parameters = 0;  // that are trained
};

// Measured, not looked up: loads the model and takes the gradient of a few units of `unit_tokens`
// random tokens, two thirds of them answers, by the recipe's own path. Reads none of the data.
// Takes the time of loading and of a few units. Errors as those of a run's start.
base::Result<RunCost> MeasureCost(const Recipe& recipe, std::int64_t unit_tokens);

}  // namespace cloister::trainer
