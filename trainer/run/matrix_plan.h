#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "dp/matrix_factorization/matrix_mechanism.h"
#include "trainer/data/sampling.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/privacy_plan.h"

namespace cloister::trainer {

// The plan of a run whose noise is correlated over its steps (recipe.privacy->matrix is given),
// for an adapter of so many parameters on so many layers. The encoder is the best for the models
// that the optimizer's momentum (beta1, or momentum of sgd) makes of the sums. All steps are one
// Gaussian release, so that ε does not depend on their number: without a noise multiplier the
// smallest one is taken that keeps the target ε. kInvalidArgument for a noise multiplier that does
// not keep it, with one that does, and for a plan that has no bound.
base::Result<PrivacyPlan> MakeMatrixPlan(const Recipe& recipe, std::int64_t parameters,
                                         std::int64_t layers);

// The plan of a private run, whatever its mechanism is.
base::Result<PrivacyPlan> PlanPrivacy(const Recipe& recipe, std::int64_t parameters,
                                      std::int64_t layers);

// The order in which the run takes its slots; kInvalidArgument where that passes what the plan's
// noise is accounted for.
base::Result<FixedOrderBatches> OrderOf(const Recipe& recipe, const PrivacyPlan& plan);

// Of each step, the variance of its noise over that of a Gaussian mechanism with the plan's noise
// multiplier and clip norm.
std::vector<double> NoiseCorrelation(const PrivacyPlan::Matrix& matrix);

// Of the mechanism that the plan runs.
dp::MatrixMechanism::Parameters MatrixParameters(const PrivacyPlan& plan);

}  // namespace cloister::trainer
