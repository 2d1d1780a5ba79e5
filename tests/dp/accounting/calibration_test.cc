#include "dp/accounting/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cloister::dp {
namespace {

double Epsilon(const PrivacyGoal& goal, double noise, double rate, std::int64_t steps) {
  const Event event{noise, rate, steps, goal.neighbours};
  return CostAtDelta({&event, 1}, goal.delta, goal.accountant).value().epsilon;
}

TEST(SmallestNoise, KeepsTheGoalAndALittleLessDoesNot) {
  for (const Accountant accountant : {Accountant::kPld, Accountant::kRdp}) {
    for (const double epsilon : {0.2, 3.0, 20.0}) {
      for (const double rate : {0.001, 0.05, 1.0}) {
        for (const std::int64_t steps : {1, 5000}) {
          const PrivacyGoal goal{epsilon, 1e-5, Neighbours::kAddOrRemoveOne, accountant};
          const double noise = SmallestNoise(goal, rate, steps).value();
          EXPECT_LE(Epsilon(goal, noise, rate, steps), epsilon);
          EXPECT_GT(Epsilon(goal, noise * (1 - 2e-3), rate, steps), epsilon)
              << epsilon << " " << rate << " " << steps;
        }
      }
    }
  }
}

TEST(SmallestNoise, PldNeedsLessThanRdpAndReplaceOneMore) {
  PrivacyGoal goal{2, 1e-5, Neighbours::kAddOrRemoveOne, Accountant::kPld};
  const double pld = SmallestNoise(goal, 0.02, 1000).value();
  goal.accountant = Accountant::kRdp;
  EXPECT_LT(pld, SmallestNoise(goal, 0.02, 1000).value());
  goal = {2, 1e-5, Neighbours::kReplaceOne, Accountant::kPld};
  EXPECT_GT(SmallestNoise(goal, 0.02, 1000).value(), 1.3 * pld);
  // One release, exactly: the analytic Gaussian.
  goal = {1, 1e-5, Neighbours::kAddOrRemoveOne, Accountant::kPld};
  EXPECT_NEAR(SmallestNoise(goal, 1, 1).value(), 3.7306314, 1e-4);
}

TEST(SmallestNoise, IsTheSmallestHoweverSmall) {
  const PrivacyGoal large{1e7, 1e-5, Neighbours::kAddOrRemoveOne, Accountant::kPld};
  const double noise = SmallestNoise(large, 1, 1).value();
  EXPECT_LE(Epsilon(large, noise, 1, 1), 1e7);
  EXPECT_GT(Epsilon(large, noise * (1 - 2e-5), 1, 1), 1e7);
  // Any noise keeps a delta above the chance to be sampled.
  const PrivacyGoal any{1, 0.5, Neighbours::kAddOrRemoveOne, Accountant::kPld};
  EXPECT_EQ(SmallestNoise(any, 0.01, 1).value(), 1e-12);
  EXPECT_EQ(SmallestNoise(any, 0.01, 10).value(), 1e-12);
  // Below 0.02 no accountant has a bound.
  const PrivacyGoal replaced{1e5, 1e-5, Neighbours::kReplaceOne, Accountant::kPld};
  EXPECT_NEAR(SmallestNoise(replaced, 0.5, 2).value(), 0.02, 1e-5);
}

TEST(MostSteps, KeepsTheGoalAndOneMoreDoesNot) {
  for (const Accountant accountant : {Accountant::kPld, Accountant::kRdp}) {
    for (const double epsilon : {0.5, 8.0}) {
      const PrivacyGoal goal{epsilon, 1e-5, Neighbours::kAddOrRemoveOne, accountant};
      const std::int64_t steps = MostSteps(goal, 1.5, 0.005).value();
      ASSERT_GT(steps, 0);
      EXPECT_LE(Epsilon(goal, 1.5, 0.005, steps), epsilon);
      EXPECT_GT(Epsilon(goal, 1.5, 0.005, steps + 1), epsilon);
    }
  }
  EXPECT_EQ(MostSteps({0.1, 1e-5, Neighbours::kAddOrRemoveOne, Accountant::kPld}, 0.3, 1).value(),
            0);
}

TEST(Calibration, KeepsTheGoalBelowWhatLatticesTell) {
  const PrivacyGoal goal{1, 1e-20, Neighbours::kAddOrRemoveOne, Accountant::kPld};
  const double noise = SmallestNoise(goal, 0.001, 100).value();
  EXPECT_LE(Epsilon(goal, noise, 0.001, 100), 1);
  EXPECT_GT(Epsilon(goal, noise * (1 - 2e-5), 0.001, 100), 1);
  const std::int64_t steps = MostSteps(goal, noise, 0.001).value();
  EXPECT_GE(steps, 100);
  EXPECT_LE(Epsilon(goal, noise, 0.001, steps), 1);
  EXPECT_GT(Epsilon(goal, noise, 0.001, steps + 1), 1);
}

TEST(Calibration, RefusesWhatIsNoGoal) {
  const double nan = std::nan("");
  const auto refused = [](PrivacyGoal goal, double rate, std::int64_t steps) {
    const auto made = SmallestNoise(goal, rate, steps);
    return !made && made.error().code == base::Code::kInvalidArgument;
  };
  for (const double bad : {-1.0, nan, HUGE_VAL}) {
    EXPECT_TRUE(refused({bad, 1e-5, Neighbours::kAdd, Accountant::kPld}, 0.1, 10)) << bad;
    EXPECT_TRUE(refused({1, bad, Neighbours::kAdd, Accountant::kPld}, 0.1, 10)) << bad;
    EXPECT_TRUE(refused({1, 1e-5, Neighbours::kAdd, Accountant::kPld}, bad, 10)) << bad;
    EXPECT_FALSE(MostSteps({1, 1e-5, Neighbours::kAdd, Accountant::kPld}, bad, 0.1)) << bad;
  }
  EXPECT_TRUE(refused({1, 1e-5, Neighbours::kAdd, Accountant::kPld}, 0.1, 0));
  EXPECT_TRUE(refused({0, 1e-30, Neighbours::kAdd, Accountant::kPld}, 1, 10));
}

}  // namespace
}  // namespace cloister::dp
