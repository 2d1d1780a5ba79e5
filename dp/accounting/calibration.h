#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/accounting/accountant.h"

namespace cloister::dp {

// What a run has to keep, in whose figures.
struct PrivacyGoal {
  double epsilon = 0;
  double delta = 0;
  Neighbours neighbours{};
  Accountant accountant{};
};

// Of Poisson-sampled Gaussian releases. What is returned was accounted for and keeps the goal; it
// is never just beyond it. kInvalidArgument for arguments out of range.

// The smallest noise multiplier that does, to 1e-5 of it; 1e-12, the least that a release may have,
// where even that does, as where delta is above the chance to be sampled at all. Multipliers for
// which no accountant has a bound do not. kInvalidArgument where none up to 1e9 does.
base::Result<double> SmallestNoise(const PrivacyGoal& goal, double sampling_rate,
                                   std::int64_t steps);
// The most steps that do, of at most 10^12; 0 where even one step passes the goal.
base::Result<std::int64_t> MostSteps(const PrivacyGoal& goal, double noise_multiplier,
                                     double sampling_rate);

}  // namespace cloister::dp
