#include "trainer/run/privacy_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "dp/accounting/calibration.h"
#include "dp/mechanism/lattice_rounding.h"
#include "security/random.h"

namespace cloister::trainer {
namespace {

constexpr double kMostNoise = 1e4;  // that a recipe may give

// On one machine the lattice costs nothing but memory: as fine as can be while noised sums stay
// below 2^30 spacings, and so within four bytes, and while its share of the sensitivity stays
// small.
double SpacingOf(const dp::GaussianMechanism::Parameters& mechanism, double noise_multiplier) {
  const double fine = dp::kFineSpacing * std::max(1.0, noise_multiplier / 6);
  const double share = 0.002 / std::sqrt(static_cast<double>(mechanism.dimension));
  return mechanism.clip_norm * std::max(dp::kFineSpacing, std::min(fine, share));
}

// The mechanism for noise of so many sensitivities on the sum. With an adaptive clip norm the sum
// is in units of that, which changes, and the count stands behind it.
void SetNoise(const Recipe::Privacy& privacy, std::int64_t parameters, double noise_multiplier,
              PrivacyPlan& plan) {
  plan.noise_multiplier = noise_multiplier;
  plan.mechanism = {.noise_multiplier = noise_multiplier,
                    .clip_norm = plan.rule.Sensitivity(),
                    .sampling_rate = privacy.sampling_rate,
                    .dimension = parameters,
                    .neighbours = privacy.neighbours};
  if (privacy.adaptive) {
    const double count_noise = privacy.adaptive->count_noise_multiplier;
    plan.count_weight = dp::clipping::CountWeight(1.0, noise_multiplier, count_noise);
    plan.mechanism.noise_multiplier =
        dp::clipping::JointNoiseMultiplier(noise_multiplier, count_noise);
    plan.mechanism.clip_norm = std::hypot(1.0, plan.count_weight / 2);
    ++plan.mechanism.dimension;
  }
  plan.mechanism.spacing = SpacingOf(plan.mechanism, noise_multiplier);
}

base::Result<dp::Event> EventOf(const dp::GaussianMechanism::Parameters& parameters) {
  CLOISTER_ASSIGN_OR_RETURN(
      const dp::GaussianMechanism mechanism,
      dp::GaussianMechanism::Create(parameters, security::AesCtrStream::FromSystem()));
  return mechanism.event();
}

base::Result<double> EpsilonOf(const PrivacyPlan& plan, double delta) {
  const std::array<dp::Event, 1> events = {plan.Spend(plan.steps)};
  return dp::PlanEpsilon(events, delta);
}

// The noise of the sum that makes `joint` together with the count's: (1/joint² − 1/count²)^(−½).
// Without a count `joint` itself.
base::Result<double> NoiseBesideCount(const Recipe::Privacy& privacy, double joint) {
  if (!privacy.adaptive) return joint;
  const double count = privacy.adaptive->count_noise_multiplier;
  const double noise = joint / std::sqrt((1 - joint / count) * (1 + joint / count));
  if (joint < count && noise <= kMostNoise) return noise;
  return base::Fail(base::Code::kInvalidArgument,
                    "the count of privacy.adaptive alone passes privacy.target_epsilon: give a "
                    "count_noise_multiplier above " +
                        RoundedUp(joint) + ", of which three times leaves most of ε to the sum");
}

// A plan is fixed before its first step, so that the tight accountant's figure holds for it.
dp::PrivacyGoal GoalOf(const Recipe::Privacy& privacy) {
  return {*privacy.target_epsilon, privacy.delta, privacy.neighbours, dp::Accountant::kPld};
}

// Raises the noise until the mechanism that will run, lattice, slack and count included, keeps
// `target`.
base::Status Calibrate(const Recipe::Privacy& privacy, std::int64_t parameters, PrivacyPlan& plan) {
  const double target = *privacy.target_epsilon;
  CLOISTER_ASSIGN_OR_RETURN(double joint,
                            dp::SmallestNoise(GoalOf(privacy), privacy.sampling_rate, plan.steps));
  for (int attempt = 0; attempt < 100; ++attempt) {
    CLOISTER_ASSIGN_OR_RETURN(const double noise, NoiseBesideCount(privacy, joint));
    SetNoise(privacy, parameters, noise, plan);
    CLOISTER_ASSIGN_OR_RETURN(plan.step, EventOf(plan.mechanism));
    CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, EpsilonOf(plan, privacy.delta));
    if (plan.epsilon <= target) return {};
    joint *= 1.0005;
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "no noise keeps privacy.target_epsilon at privacy.delta: raise one of them");
}

// Lowers the steps until they keep the target.
base::Status FitSteps(const Recipe::Privacy& privacy, std::int64_t parameters, PrivacyPlan& plan) {
  const double target = *privacy.target_epsilon;
  CLOISTER_ASSIGN_OR_RETURN(
      const std::int64_t affordable,
      dp::MostSteps(GoalOf(privacy), plan.step.noise_multiplier, plan.step.sampling_rate));
  const std::int64_t wanted = std::exchange(plan.steps, std::min(plan.steps, affordable));
  while (plan.steps > 0) {
    CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, EpsilonOf(plan, privacy.delta));
    if (plan.epsilon <= target) return {};
    --plan.steps;
  }
  PrivacyPlan enough = plan;
  enough.steps = wanted;
  CLOISTER_RETURN_IF_ERROR(Calibrate(privacy, parameters, enough));
  return base::Fail(
      base::Code::kResourceExhausted,
      "one step passes privacy.target_epsilon: raise it, or give a privacy.noise_multiplier of at "
      "least " +
          RoundedUp(enough.noise_multiplier) + " for all " + std::to_string(wanted) + " steps");
}

}  // namespace

std::string RoundedUp(double value) {
  const double place = std::pow(10, std::floor(std::log10(value)) - 3);
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", std::ceil(value / place) * place);
  return text;
}

dp::clipping::ClipRule ClipRuleOf(const Recipe::Privacy& privacy, std::int64_t layers) {
  using Style = dp::clipping::ClipRule::Style;
  switch (privacy.clipping) {
    case Recipe::Clipping::kAutomatic:
      return {Style::kAutomatic, {privacy.clip_norm}, privacy.stability};
    case Recipe::Clipping::kPerLayer:
      return {Style::kPerGroup,
              std::vector<double>(static_cast<std::size_t>(layers),
                                  privacy.clip_norm / std::sqrt(static_cast<double>(layers))),
              0};
    case Recipe::Clipping::kFlat:
      break;
  }
  return {Style::kFlat, {privacy.clip_norm}, 0};
}

dp::Event PrivacyPlan::Spend(std::int64_t count) const {
  dp::Event event = step;
  if (matrix) return event;  // paid for as a whole
  event.steps = count;
  event.delta_slack = step.delta_slack * static_cast<double>(count);
  return event;
}

base::Result<PrivacyPlan> MakePrivacyPlan(const Recipe::Privacy& privacy, std::int64_t steps,
                                          std::int64_t parameters, std::int64_t layers) {
  PrivacyPlan plan;
  plan.steps = steps;
  plan.rule = ClipRuleOf(privacy, layers);
  if (!privacy.noise_multiplier) {
    CLOISTER_RETURN_IF_ERROR(Calibrate(privacy, parameters, plan));
    return plan;
  }
  SetNoise(privacy, parameters, *privacy.noise_multiplier, plan);
  CLOISTER_ASSIGN_OR_RETURN(plan.step, EventOf(plan.mechanism));
  if (privacy.target_epsilon) {
    CLOISTER_RETURN_IF_ERROR(FitSteps(privacy, parameters, plan));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, EpsilonOf(plan, privacy.delta));
  }
  if (!std::isfinite(plan.epsilon)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "privacy.noise_multiplier gives no finite ε at privacy.delta: raise one of "
                      "them");
  }
  return plan;
}

}  // namespace cloister::trainer
