#include "trainer/run/privacy_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "dp/accounting/rdp_accountant.h"
#include "security/random.h"

namespace cloister::trainer {
namespace {

// On one machine the lattice costs nothing but memory: as fine as can be while noised sums stay
// below 2^30 spacings, and so within four bytes, and while its share of the sensitivity stays
// small.
double SpacingOf(const dp::GaussianMechanism::Parameters& mechanism, double noise_multiplier) {
  const double fine = 0x1p-24 * std::max(1.0, noise_multiplier / 8);
  const double share = 0.002 / std::sqrt(static_cast<double>(mechanism.dimension));
  return mechanism.clip_norm * std::max(0x1p-24, std::min(fine, share));
}

dp::clipping::ClipRule RuleOf(const Recipe::Privacy& privacy, std::int64_t layers) {
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

// The sum in units of the clip norm, which changes, with the count behind it.
void AddCount(const Recipe::AdaptiveNorm& adaptive, PrivacyPlan& plan) {
  const double noise = plan.mechanism.noise_multiplier;
  plan.count_weight = dp::clipping::CountWeight(1.0, noise, adaptive.count_noise_multiplier);
  plan.mechanism.noise_multiplier =
      dp::clipping::JointNoiseMultiplier(noise, adaptive.count_noise_multiplier);
  plan.mechanism.clip_norm = std::hypot(1.0, plan.count_weight / 2);
  ++plan.mechanism.dimension;
}

base::Result<dp::Event> EventOf(const dp::GaussianMechanism::Parameters& parameters) {
  CLOISTER_ASSIGN_OR_RETURN(
      const dp::GaussianMechanism mechanism,
      dp::GaussianMechanism::Create(parameters, security::AesCtrStream::FromSystem()));
  return mechanism.event();
}

base::Result<double> EpsilonOf(const PrivacyPlan& plan, double delta) {
  const std::array<dp::Event, 1> events = {plan.Spend(plan.steps)};
  return dp::RdpEpsilon(events, delta);
}

// Raises the noise until the mechanism that will run, lattice and slack included, keeps `target`.
base::Status Calibrate(PrivacyPlan& plan, double target, double delta) {
  CLOISTER_ASSIGN_OR_RETURN(
      plan.mechanism.noise_multiplier,
      dp::CalibrateNoise(target, delta, plan.mechanism.sampling_rate, plan.steps));
  for (int attempt = 0; attempt < 100; ++attempt) {
    CLOISTER_ASSIGN_OR_RETURN(plan.step, EventOf(plan.mechanism));
    CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, EpsilonOf(plan, delta));
    if (plan.epsilon <= target) return {};
    plan.mechanism.noise_multiplier *= 1.0005;
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "no noise keeps privacy.target_epsilon at privacy.delta: raise one of them");
}

// Lowers the steps until they keep `target`.
base::Status FitSteps(PrivacyPlan& plan, double target, double delta) {
  CLOISTER_ASSIGN_OR_RETURN(
      const std::int64_t affordable,
      dp::AffordableSteps(target, delta, plan.step.noise_multiplier, plan.step.sampling_rate));
  plan.steps = std::min(plan.steps, affordable);
  while (plan.steps > 0) {
    CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, EpsilonOf(plan, delta));
    if (plan.epsilon <= target) return {};
    --plan.steps;
  }
  return base::Fail(base::Code::kResourceExhausted,
                    "one step passes privacy.target_epsilon: raise privacy.noise_multiplier or the "
                    "target");
}

}  // namespace

dp::Event PrivacyPlan::Spend(std::int64_t count) const {
  dp::Event event = step;
  event.steps = count;
  event.delta_slack = step.delta_slack * static_cast<double>(count);
  return event;
}

base::Result<PrivacyPlan> MakePrivacyPlan(const Recipe::Privacy& privacy, std::int64_t steps,
                                          std::int64_t parameters, std::int64_t layers) {
  PrivacyPlan plan;
  plan.steps = steps;
  plan.rule = RuleOf(privacy, layers);
  plan.mechanism = {.noise_multiplier = privacy.noise_multiplier.value_or(0),
                    .clip_norm = plan.rule.Sensitivity(),
                    .sampling_rate = privacy.sampling_rate,
                    .dimension = parameters,
                    .neighbours = privacy.neighbours};
  if (privacy.adaptive) AddCount(*privacy.adaptive, plan);

  plan.mechanism.spacing = SpacingOf(plan.mechanism, privacy.noise_multiplier.value_or(1));
  if (!privacy.noise_multiplier) {
    CLOISTER_RETURN_IF_ERROR(Calibrate(plan, *privacy.target_epsilon, privacy.delta));
    plan.noise_multiplier = plan.mechanism.noise_multiplier;
    return plan;
  }
  plan.noise_multiplier = *privacy.noise_multiplier;
  CLOISTER_ASSIGN_OR_RETURN(plan.step, EventOf(plan.mechanism));
  if (privacy.target_epsilon) {
    CLOISTER_RETURN_IF_ERROR(FitSteps(plan, *privacy.target_epsilon, privacy.delta));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, EpsilonOf(plan, privacy.delta));
  }
  if (!std::isfinite(plan.epsilon)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "privacy.noise_multiplier gives no finite ε at privacy.delta: raise it");
  }
  return plan;
}

}  // namespace cloister::trainer
