#include "trainer/run/privacy_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/accountant.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSteps = 200;
constexpr std::int64_t kParameters = 5000;

Recipe::Privacy Sampled() {
  Recipe::Privacy privacy;
  privacy.target_epsilon = 3;
  privacy.delta = 1e-5;
  privacy.clip_norm = 0.3;
  privacy.sampling_rate = 0.02;
  privacy.neighbours = dp::Neighbours::kAddOrRemoveOne;
  return privacy;
}

Recipe::Privacy Adaptive(double count_noise_multiplier) {
  Recipe::Privacy privacy = Sampled();
  privacy.adaptive = {
      .quantile = 0.5, .rate = 0.2, .count_noise_multiplier = count_noise_multiplier};
  return privacy;
}

base::Result<PrivacyPlan> Plan(const Recipe::Privacy& privacy) {
  return MakePrivacyPlan(privacy, kSteps, kParameters, 4);
}

// Of Poisson-sampled Gaussians of these multipliers, all of one draw or each of its own.
double EpsilonOf(const std::vector<double>& multipliers) {
  std::vector<dp::Event> events;
  for (const double noise : multipliers) {
    events.push_back({noise, 0.02, kSteps, dp::Neighbours::kAddOrRemoveOne});
  }
  return dp::PlanEpsilon(events, 1e-5).value();
}

TEST(PrivacyPlan, FindsTheNoiseOfTheSumBesideTheCounts) {
  const PrivacyPlan alone = Plan(Sampled()).value();
  EXPECT_LE(alone.epsilon, 3);
  EXPECT_GT(alone.epsilon, 2.98);
  double last = std::numeric_limits<double>::infinity();
  for (const double count : {1.3, 5.0, 1e6}) {
    const auto plan = Plan(Adaptive(count));
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->steps, kSteps);
    EXPECT_LE(plan->epsilon, 3);
    EXPECT_GT(plan->epsilon, 2.98);
    // Both noises are one event of the joint multiplier, of which the lattice takes its share.
    const double joint = 1 / std::hypot(1 / plan->noise_multiplier, 1 / count);
    EXPECT_NEAR(plan->mechanism.noise_multiplier, joint, 1e-12 * joint);
    EXPECT_LT(EpsilonOf({joint}), 3);
    EXPECT_LE(plan->step.noise_multiplier, joint);
    EXPECT_GT(plan->step.noise_multiplier, 0.98 * joint);
    // A louder count leaves more ε to the sum.
    EXPECT_LT(plan->noise_multiplier, last);
    last = plan->noise_multiplier;
    // The given noise comes to the same plan.
    Recipe::Privacy given = Adaptive(count);
    given.noise_multiplier = plan->noise_multiplier;
    EXPECT_EQ(Plan(given)->steps, kSteps);
    EXPECT_EQ(Plan(given)->step, plan->step);
  }
  EXPECT_NEAR(last, alone.noise_multiplier, 1e-6);
  // The broken variant: noise found for the sum as if the count were free passes the target.
  EXPECT_GT(EpsilonOf({1 / std::hypot(1 / alone.noise_multiplier, 1 / 1.3)}), 3.5);
}

TEST(PrivacyPlan, ACountThatPassesTheTargetAloneIsToldWhatWouldNot) {
  const double least = Plan(Sampled())->noise_multiplier;
  for (const double count : {0.1, 0.98 * least}) {
    const auto plan = Plan(Adaptive(count));
    ASSERT_FALSE(plan) << count;
    EXPECT_EQ(plan.error().code, base::Code::kInvalidArgument);
    EXPECT_THAT(plan.error().message, HasSubstr("count_noise_multiplier above "));
  }
  EXPECT_TRUE(Plan(Adaptive(1.02 * least)));
}

// σ, ε and steps all given: the steps give way, and where not one is left the error says which
// noise would be enough.
TEST(PrivacyPlan, NoiseTargetAndStepsThatDoNotAgree) {
  for (const bool adaptive : {false, true}) {
    Recipe::Privacy privacy = adaptive ? Adaptive(5) : Sampled();
    const double enough = Plan(privacy)->noise_multiplier;
    privacy.noise_multiplier = 0.97 * enough;
    const auto fewer = Plan(privacy);
    ASSERT_TRUE(fewer) << fewer.error().message;
    EXPECT_LT(fewer->steps, kSteps);
    EXPECT_GT(fewer->steps, kSteps / 2);
    EXPECT_LE(fewer->epsilon, 3);
    privacy.noise_multiplier = 0.2;
    const auto none = Plan(privacy);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, base::Code::kResourceExhausted);
    ASSERT_THAT(none.error().message, HasSubstr("noise_multiplier of at least "));
    const std::string& text = none.error().message;
    privacy.noise_multiplier = std::stod(text.substr(text.find("at least ") + 9));
    EXPECT_NEAR(*privacy.noise_multiplier, enough, 0.001 * enough);
    EXPECT_EQ(Plan(privacy)->steps, kSteps);
  }
}

}  // namespace
}  // namespace cloister::trainer
