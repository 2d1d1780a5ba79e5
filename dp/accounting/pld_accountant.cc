#include "dp/accounting/pld_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "dp/accounting/accounting_input.h"
#include "dp/accounting/bounded_loss.h"
#include "dp/accounting/composed_loss.h"
#include "dp/accounting/gaussian_profile.h"
#include "dp/accounting/rdp_conversion.h"
#include "dp/accounting/rough_bound.h"
#include "dp/accounting/saddle_point.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kManySteps = 1e7;
// What is computed of a composition is raised by this part of itself: over all rounding that is not
// bounded where it happens.
constexpr double kMargin = 1e-4;

bool AllGaussian(std::span<const Event> events) {
  return std::all_of(events.begin(), events.end(),
                     [](const Event& event) { return event.mechanism == Mechanism::kGaussian; });
}

bool AllUnsampled(std::span<const Event> events) {
  return std::all_of(events.begin(), events.end(),
                     [](const Event& event) { return event.sampling_rate == 1; });
}

// Of Gaussian events without sampling, which never costs privacy: the sampled pair of laws is the
// unsampled one's after a coin that replaces the outcome. Two units differ by twice as much as one.
double GaussianRatio(std::span<const Event> events) {
  double squares = 0;
  for (const Event& event : events) {
    squares += static_cast<double>(event.steps) / event.noise_multiplier / event.noise_multiplier;
  }
  const bool replaced = events.front().neighbours == Neighbours::kReplaceOne;
  return std::sqrt(squares) * (replaced ? 2 : 1) * (1 + 1e-15 * static_cast<double>(events.size()));
}

// log of the probability that the unit is in some sample: no δ is above it, since without the unit
// both laws are the same. Rounded up.
double LogHitProbability(std::span<const Event> events) {
  double log_missed = 0;
  for (const Event& event : events) {
    log_missed += static_cast<double>(event.steps) * std::log1p(-event.sampling_rate);
  }
  return std::min(0.0, std::log(-std::expm1(log_missed)) + 1e-12);
}

// Whether the composition is one sampled Gaussian release, whose profile is known: that of a
// removal, which is the larger direction.
bool IsOneSampled(std::span<const Event> events) {
  return events.size() == 1 && events[0].steps == 1 && AllGaussian(events) &&
         (events[0].neighbours == Neighbours::kRemove ||
          events[0].neighbours == Neighbours::kAddOrRemoveOne ||
          events[0].neighbours == Neighbours::kZeroOut);
}

// The end of an error: the other accountant where that has a bound, or else what to change.
std::string OrUseRdp(std::span<const Event> events, const std::string& other) {
  const bool covered = std::all_of(events.begin(), events.end(), [](const Event& event) {
    return CheckRdpCovers(event).has_value();
  });
  return covered ? "use --accountant rdp" : other;
}

base::Status CheckCovered(std::span<const Event> events) {
  constexpr std::size_t kMostKinds = 200;
  if (KindsOf(events).size() > kMostKinds) {
    return base::Fail(base::Code::kUnimplemented,
                      "more than 200 kinds of events, PLD accountant: " +
                          OrUseRdp(events, "give at most 200; RDP has no bound for them either"));
  }
  for (const Event& event : events) {
    if (HasStepLoss(event) || (HasLittleNoise(event) && HasBoundedLoss(event))) continue;
    return base::Fail(
        base::Code::kUnimplemented,
        std::string(MechanismName(event.mechanism)) +
            " noise of such a multiplier, PLD accountant: it covers multipliers from 0.02 and "
            "discrete Gaussian sigmas to "
            "10000; " +
            OrUseRdp(events, "give noise in that range; RDP has no bound for it either"));
  }
  return {};
}

// ε at exp(log_delta) in one direction, from losses that were composed for about that, or of none.
double EpsilonOfComposed(const ShiftedEvents& parts, Direction direction,
                         const std::optional<ComposedLoss>& composed, double log_delta) {
  const double epsilon =
      composed ? composed->Epsilon(log_delta) : RoughEpsilon(parts.composed, direction, log_delta);
  return (parts.shift + std::max(0.0, epsilon)) * (1 + kMargin);
}

// What needs no losses on lattices.
double EpsilonOf(std::span<const Event> events, Direction direction, double log_delta) {
  const double epsilon =
      EpsilonOfBounded(LargestTotal(events, direction), log_delta) * (1 + kMargin);
  if (!AllGaussian(events)) return epsilon;
  return std::min(epsilon, EpsilonOfGaussian(GaussianRatio(events), log_delta));
}

// As in accounting_input.h: the smallest fixed point of ε -> bound(delta - (1 + e^ε) slack), which
// rises with ε, so that iterating from below reaches it, or finds that there is none.
template <typename Bound>
double WithSlack(double delta, double slack, const Bound& bound) {
  double epsilon = bound(std::log(delta));
  if (slack == 0) return epsilon;
  for (int i = 0; i < 200 && std::isfinite(epsilon); ++i) {
    const double aimed = epsilon * (1 + 1e-12);
    const double left = delta - (1 + std::exp(aimed)) * slack;
    if (!(left > 0)) return kInfinity;
    epsilon = bound(std::log(left));
    if (epsilon <= aimed) return aimed;
  }
  return kInfinity;
}

// log δ at ε in one direction: of the composition, or a quicker bound where that says enough or is
// all there is.
PldBound LogDeltaOf(std::span<const Event> events, Direction direction, double epsilon,
                    double enough) {
  const double bounded = LogDeltaOfBounded(LargestTotal(events, direction), epsilon);
  const ShiftedEvents parts = ShiftLittleNoise(events, direction);
  if (bounded <= enough || parts.composed.empty()) return {bounded};
  const double rest = epsilon - parts.shift;
  if (rest < 0) return {bounded, true};
  const double rough = std::min(bounded, RoughLogDelta(parts.composed, direction, rest, enough));
  if (rough <= enough) return {rough};
  const auto composed = ComposeEvents(parts.composed, direction, {false, rest, enough});
  if (!composed) return {rough, true};
  return {std::min(rough, composed->LogDelta(rest))};
}

PldBound LogDeltaOf(std::span<const Event> events, double epsilon) {
  const bool exact = AllGaussian(events) && AllUnsampled(events);
  if (IsOneSampled(events)) {
    return {LogDeltaOfOneSampled(GaussianRatio(events), events[0].sampling_rate, epsilon)};
  }
  PldBound log_delta = {-kInfinity};
  for (const Direction direction : DirectionsOf(events.front().neighbours)) {
    if (epsilon >= LargestTotal(events, direction)) continue;  // no loss is above ε
    // Below the least, bounds are as they happen to be, and would not even fall with ε.
    log_delta.value = std::max(log_delta.value, kLeastLogDelta);
    const PldBound one =
        exact ? PldBound{0} : LogDeltaOf(events, direction, epsilon, log_delta.value);
    log_delta.value = std::max(log_delta.value, one.value);
    log_delta.loose = log_delta.loose || one.loose;
  }
  log_delta.loose = log_delta.loose || log_delta.value == kLeastLogDelta;
  if (std::isfinite(log_delta.value) && AllGaussian(events)) {
    log_delta.value = std::min(log_delta.value, LogDeltaOfGaussian(GaussianRatio(events), epsilon));
  }
  return log_delta;
}

bool HasManySteps(std::span<const Event> events) {
  double steps = 0;
  for (const Event& event : events) steps += static_cast<double>(event.steps);
  return steps > kManySteps;
}

// Whether no lattices are needed.
bool IsExact(std::span<const Event> events) {
  return (AllGaussian(events) && AllUnsampled(events)) || IsOneSampled(events);
}

base::Result<double> ValueOf(const base::Result<PldBound>& bound) {
  if (!bound) return tl::unexpected(bound.error());
  return bound->value;
}

}  // namespace

base::Result<PldBound> PldEpsilonBound(std::span<const Event> events, double delta) {
  CLOISTER_RETURN_IF_ERROR(ValidateDelta(delta));
  CLOISTER_RETURN_IF_ERROR(ValidateEvents(events));
  if (events.empty()) return PldBound{};
  const double slack = TotalSlack(events);
  // At ε = 0, where slack costs twice itself.
  if (LogHitProbability(events) <= std::log(delta - 2 * slack)) return PldBound{};
  if (IsOneSampled(events)) {
    return PldBound{WithSlack(delta, slack, [&](double log_delta) {
      return EpsilonOfOneSampled(GaussianRatio(events), events[0].sampling_rate, log_delta);
    })};
  }
  const bool exact = IsExact(events);
  if (!exact) CLOISTER_RETURN_IF_ERROR(CheckCovered(events));
  PldBound epsilon = {0, HasManySteps(events)};
  for (const Direction direction : DirectionsOf(events.front().neighbours)) {
    const ShiftedEvents parts = ShiftLittleNoise(events, direction);
    const bool compose = !exact && !parts.composed.empty();
    // What is not larger than in the direction before.
    const double known = std::max(0.0, epsilon.value - parts.shift);
    if (compose && known > 0 && slack == 0 &&
        RoughLogDelta(parts.composed, direction, known, std::log(delta)) <= std::log(delta)) {
      continue;
    }
    std::optional<ComposedLoss> composed;
    if (compose) {
      const double enough = slack == 0 ? known / (1 + kMargin) : 0;
      composed = ComposeEvents(parts.composed, direction, {true, delta, enough});
      epsilon.loose = epsilon.loose || !composed;
    }
    const double one = WithSlack(delta, slack, [&](double log_delta) {
      const double quick = EpsilonOf(events, direction, log_delta);
      if (!compose) return quick;
      return std::min(quick, EpsilonOfComposed(parts, direction, composed, log_delta));
    });
    epsilon.value = std::max(epsilon.value, one);
  }
  return epsilon;
}

base::Result<PldBound> PldDeltaBound(std::span<const Event> events, double epsilon) {
  CLOISTER_RETURN_IF_ERROR(ValidateEpsilon(epsilon));
  CLOISTER_RETURN_IF_ERROR(ValidateEvents(events));
  if (events.empty()) return PldBound{};
  if (!IsExact(events)) CLOISTER_RETURN_IF_ERROR(CheckCovered(events));
  PldBound bound = LogDeltaOf(events, epsilon);
  const double log_delta = std::min(bound.value, LogHitProbability(events));
  const double slack = TotalSlack(events);
  double delta = std::exp(log_delta);
  // Too small for a double, but not nothing.
  if (std::isfinite(log_delta)) delta = std::max(delta, std::numeric_limits<double>::denorm_min());
  return PldBound{std::min(1.0, slack == 0 ? delta : delta + (1 + std::exp(epsilon)) * slack),
                  bound.loose || HasManySteps(events)};
}

base::Result<double> PldEpsilon(std::span<const Event> events, double delta) {
  return ValueOf(PldEpsilonBound(events, delta));
}

base::Result<double> PldDelta(std::span<const Event> events, double epsilon) {
  return ValueOf(PldDeltaBound(events, epsilon));
}

base::Result<std::vector<double>> PldProfile(std::span<const Event> events,
                                             std::span<const double> epsilons) {
  std::vector<double> deltas;
  deltas.reserve(epsilons.size());
  for (const double epsilon : epsilons) {
    CLOISTER_ASSIGN_OR_RETURN(const double delta, PldDelta(events, epsilon));
    deltas.push_back(delta);
  }
  return deltas;
}

}  // namespace cloister::dp
