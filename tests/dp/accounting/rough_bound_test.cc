#include "dp/accounting/rough_bound.h"

#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/gaussian_profile.h"

namespace cloister::dp {
namespace {

// Prop. 12's conversion is as near as this to the exact δ where one order suits it: a bound that is
// lower by more would be below the truth at some of these.
constexpr double kNats = 2.5;
constexpr double kLeast = -300;

TEST(RoughLogDelta, IsAboveTheExactGaussianAndNear) {
  double nearest = INFINITY;
  for (const double sigma : {0.5, 1.0, 4.0}) {
    for (const std::int64_t steps : {1, 4, 100}) {
      const Event event{sigma, 1, steps, Neighbours::kRemove};
      const double mu = std::sqrt(static_cast<double>(steps)) / sigma;
      for (const double log_delta : {-2.0, -5.0, -20.0, -60.0, -150.0, -330.0, -600.0}) {
        const double epsilon = EpsilonOfGaussian(mu, log_delta);
        const double exact = LogDeltaOfGaussian(mu, epsilon);
        const double rough = RoughLogDelta({&event, 1}, Direction::kRemove, epsilon, kLeast);
        EXPECT_GE(rough, exact - 1e-9) << sigma << " " << steps << " " << log_delta;
        EXPECT_GE(RoughEpsilon({&event, 1}, Direction::kRemove, log_delta), epsilon * (1 - 1e-9));
        if (log_delta < -250) continue;  // tails that are cut off are more
        EXPECT_LE(rough, exact + 6) << sigma << " " << steps << " " << log_delta;
        nearest = std::min(nearest, rough - exact);
      }
    }
  }
  EXPECT_LT(nearest, kNats);
}

TEST(RoughLogDelta, IsAboveOneSampledGaussian) {
  double nearest = INFINITY;
  for (const double rate : {1e-6, 0.01, 0.5}) {
    for (const double sigma : {0.5, 1.0, 4.0}) {
      const Event event{sigma, rate, 1, Neighbours::kRemove};
      for (const double epsilon : {0.01, 0.3, 1.0, 3.0}) {
        const double exact = LogDeltaOfOneSampled(1 / sigma, rate, epsilon);
        if (exact < -250) continue;  // tails that are cut off are more
        const double rough = RoughLogDelta({&event, 1}, Direction::kRemove, epsilon, kLeast);
        EXPECT_GE(rough, exact - 1e-9) << rate << " " << sigma << " " << epsilon;
        nearest = std::min(nearest, rough - exact);
      }
    }
  }
  EXPECT_LT(nearest, kNats);
}

}  // namespace
}  // namespace cloister::dp
