#include "dp/accounting/calibration.h"

#include <algorithm>
#include <cmath>

#include "dp/accounting/accounting_input.h"

namespace cloister::dp {
namespace {

constexpr double kLargestNoise = 1e9;
constexpr double kSmallestNoise = 1e-12;  // of a valid event
constexpr double kNoiseTolerance = 1e-5;
constexpr std::int64_t kMostSteps = 1'000'000'000'000;

base::Status Check(const PrivacyGoal& goal, const Event& probe) {
  CLOISTER_RETURN_IF_ERROR(ValidateEpsilon(goal.epsilon));
  CLOISTER_RETURN_IF_ERROR(ValidateDelta(goal.delta));
  return Validate(probe);
}

// By how much ε is above the goal, in logarithms; not above 0 where the goal is kept.
base::Result<double> Excess(const PrivacyGoal& goal, const Event& event) {
  CLOISTER_ASSIGN_OR_RETURN(const PrivacyCost cost,
                            CostAtDelta({&event, 1}, goal.delta, goal.accountant));
  if (cost.epsilon <= goal.epsilon) {
    return cost.epsilon > 0 ? std::log(cost.epsilon / goal.epsilon) : -INFINITY;
  }
  return goal.epsilon > 0 ? std::log(cost.epsilon / goal.epsilon) : INFINITY;
}

// A point of the search: a logarithm of noise or of steps, and the excess there.
struct Point {
  double at = 0;
  double excess = 0;
};

// Where to look next between a point that keeps the goal and one that does not: where a straight
// line crosses, a little to the kept side; the middle on every third turn, or where there is no
// line.
double Next(const Point& kept, const Point& passed, int turn) {
  const double middle = (kept.at + passed.at) / 2;
  if (turn % 3 == 2 || !std::isfinite(kept.excess) || !std::isfinite(passed.excess)) return middle;
  const double share = -kept.excess / (passed.excess - kept.excess);
  const double bias = turn % 3 == 0 ? 0.02 : -0.02;
  return kept.at + (passed.at - kept.at) * std::clamp(share - bias * share, 0.01, 0.99);
}

}  // namespace

base::Result<double> SmallestNoise(const PrivacyGoal& goal, double sampling_rate,
                                   std::int64_t steps) {
  Event event{kLargestNoise, sampling_rate, steps, goal.neighbours};
  CLOISTER_RETURN_IF_ERROR(Check(goal, event));
  event.noise_multiplier = 1;
  CLOISTER_ASSIGN_OR_RETURN(const double first, Excess(goal, event));
  const auto excess_at = [&](double log_noise) -> base::Result<double> {
    event.noise_multiplier = std::max(kSmallestNoise, std::exp(log_noise));
    base::Result<double> excess = Excess(goal, event);
    // Less noise than any accountant has a bound for.
    if (!excess && excess.error().code == base::Code::kUnimplemented) return INFINITY;
    return excess;
  };
  // ε falls as noise rises: double until it suffices, or halve until it does not.
  const double unit = std::log(2.0);
  const double least = std::log(kSmallestNoise);
  Point kept;
  Point passed;
  if (first <= 0) {
    kept = {0, first};
    while (true) {
      if (kept.at == least) return kSmallestNoise;
      passed.at = std::max(least, kept.at - unit);
      CLOISTER_ASSIGN_OR_RETURN(passed.excess, excess_at(passed.at));
      if (passed.excess > 0) break;
      kept = passed;
    }
  } else {
    passed = {0, first};
    while (true) {
      kept.at = passed.at + unit;
      if (kept.at > std::log(kLargestNoise)) {
        return base::Fail(base::Code::kInvalidArgument,
                          goal.accountant == Accountant::kRdp
                              ? "no noise multiplier up to 1e9 keeps epsilon by Renyi divergences, "
                                "which cannot show an epsilon this small at this delta for any "
                                "number of steps: take the pld accountant, or raise epsilon or "
                                "delta"
                              : "no noise multiplier up to 1e9 keeps epsilon, calibration: raise "
                                "epsilon or delta, or take fewer steps");
      }
      CLOISTER_ASSIGN_OR_RETURN(kept.excess, excess_at(kept.at));
      if (kept.excess <= 0) break;
      passed = kept;
    }
  }
  for (int turn = 0; kept.at - passed.at > kNoiseTolerance; ++turn) {
    Point next;
    next.at = Next(kept, passed, turn);
    CLOISTER_ASSIGN_OR_RETURN(next.excess, excess_at(next.at));
    (next.excess <= 0 ? kept : passed) = next;
  }
  return std::exp(kept.at);
}

base::Result<std::int64_t> MostSteps(const PrivacyGoal& goal, double noise_multiplier,
                                     double sampling_rate) {
  Event event{noise_multiplier, sampling_rate, 1, goal.neighbours};
  CLOISTER_RETURN_IF_ERROR(Check(goal, event));
  const auto excess_at = [&](std::int64_t steps) {
    event.steps = steps;
    return Excess(goal, event);
  };
  CLOISTER_ASSIGN_OR_RETURN(double kept_excess, excess_at(1));
  if (kept_excess > 0) return 0;
  std::int64_t kept = 1;
  std::int64_t passed = 1;
  double passed_excess = 0;
  while (true) {
    if (passed == kMostSteps) return kMostSteps;
    passed = std::min(kMostSteps, 8 * kept);
    CLOISTER_ASSIGN_OR_RETURN(passed_excess, excess_at(passed));
    if (passed_excess > 0) break;
    kept = passed;
    kept_excess = passed_excess;
  }
  for (int turn = 0; passed - kept > 1; ++turn) {
    const double at = Next({std::log(static_cast<double>(kept)), kept_excess},
                           {std::log(static_cast<double>(passed)), passed_excess}, turn);
    const std::int64_t next = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(std::llround(std::exp(at))), kept + 1, passed - 1);
    CLOISTER_ASSIGN_OR_RETURN(const double excess, excess_at(next));
    (excess <= 0 ? kept : passed) = next;
    (excess <= 0 ? kept_excess : passed_excess) = excess;
  }
  return kept;
}

}  // namespace cloister::dp
