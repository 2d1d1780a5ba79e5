#include "trainer/run/privacy_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "dp/accounting/rdp_accountant.h"
#include "security/random.h"

namespace cloister::trainer {
namespace {

// On one machine the lattice costs nothing, so it is as fine as the clipped sum's own error.
constexpr double kSpacingShare = 0x1p-24;

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
                                          std::int64_t parameters) {
  PrivacyPlan plan;
  plan.steps = steps;
  plan.mechanism = {.noise_multiplier = privacy.noise_multiplier.value_or(0),
                    .clip_norm = privacy.clip_norm,
                    .sampling_rate = privacy.sampling_rate,
                    .dimension = parameters,
                    .spacing = privacy.clip_norm * kSpacingShare,
                    .neighbours = privacy.neighbours};
  if (!privacy.noise_multiplier) {
    CLOISTER_RETURN_IF_ERROR(Calibrate(plan, *privacy.target_epsilon, privacy.delta));
    return plan;
  }
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
