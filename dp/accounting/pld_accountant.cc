#include "dp/accounting/pld_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "dp/accounting/accounting_input.h"
#include "dp/accounting/bounded_loss.h"
#include "dp/accounting/capped_moments.h"
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
constexpr double kSmallEpsilon = 1e-3;
constexpr double kLeastLogMomentDelta = -69.0775527898;  // 1e-30

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

// Whether no lattices are needed.
bool IsExact(std::span<const Event> events) {
  return (AllGaussian(events) && AllUnsampled(events)) || IsOneSampled(events);
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

// ε in one direction, where that of the events that have to be composed is `computed` at a log δ.
// Tells whether it is by them, and not by all events' own quick bound.
struct DirectionEpsilon {
  double value = 0;
  bool computed = false;
};
template <typename Computed>
DirectionEpsilon EpsilonWith(std::span<const Event> events, const ShiftedEvents& parts,
                             Direction direction, double delta, double slack,
                             const Computed& computed) {
  DirectionEpsilon made;
  made.value = WithSlack(delta, slack, [&](double log_delta) {
    const double quick = EpsilonOf(events, direction, log_delta);
    const double epsilon = (parts.shift + std::max(0.0, computed(log_delta))) * (1 + kMargin);
    made.computed = epsilon <= quick;
    return std::min(quick, epsilon);
  });
  return made;
}

PldBound EpsilonByMoments(std::span<const Event> events, const ShiftedEvents& parts,
                          Direction direction, double delta, double slack) {
  const CappedMoments moments(parts.composed, direction, std::log(delta));
  const DirectionEpsilon epsilon =
      EpsilonWith(events, parts, direction, delta, slack,
                  [&](double log_delta) { return moments.Epsilon(log_delta); });
  return {.value = epsilon.value, .by_moments = epsilon.computed};
}

// Where ε is seen to be at most `enough`, it is no closer than that.
PldBound EpsilonByComposing(std::span<const Event> events, const ShiftedEvents& parts,
                            Direction direction, double delta, double slack, double enough) {
  const double known = slack == 0 ? std::max(0.0, enough - parts.shift) : 0;
  const double log_delta = std::log(delta);
  if (known > 0 && RoughLogDelta(parts.composed, direction, known, log_delta) <= log_delta) {
    return {enough};
  }
  const auto composed =
      ComposeEvents(parts.composed, direction, {true, delta, known / (1 + kMargin)});
  const auto epsilon = [&](double log_left) {
    return composed ? composed->Epsilon(log_left)
                    : RoughEpsilon(parts.composed, direction, log_left);
  };
  const PldBound made = {
      .value = EpsilonWith(events, parts, direction, delta, slack, epsilon).value,
      .loose = !composed};
  // An ε that is all but nothing may be looser than moments, which would be out of order at 1e-12.
  if (!(made.value < kSmallEpsilon)) return made;
  const PldBound by_moments = EpsilonByMoments(events, parts, direction, delta, slack);
  return by_moments.value < made.value ? by_moments : made;
}

// log δ at ε by moments, not below 1e-30.
double LogDeltaByMoments(std::span<const Event> events, double epsilon) {
  double log_delta = kLeastLogMomentDelta;
  for (const Direction direction : DirectionsOf(events.front().neighbours)) {
    const double largest = LargestTotal(events, direction);
    if (epsilon >= largest) continue;
    double one = LogDeltaOfBounded(largest, epsilon);
    const ShiftedEvents parts = ShiftLittleNoise(events, direction);
    const double rest = epsilon - parts.shift;
    if (!parts.composed.empty() && rest >= 0) {
      const CappedMoments moments(parts.composed, direction, kLeastLogMomentDelta);
      one = std::min(one, moments.LogDelta(rest));
    }
    log_delta = std::max(log_delta, one);
  }
  return log_delta;
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
  const bool exact = IsExact(events);
  if (IsOneSampled(events)) {
    return {LogDeltaOfOneSampled(GaussianRatio(events), events[0].sampling_rate, epsilon)};
  }
  PldBound log_delta = {-kInfinity};
  for (const Direction direction : DirectionsOf(events.front().neighbours)) {
    if (epsilon >= LargestTotal(events, direction)) continue;  // no loss is above ε
    // Below the least, compositions are as they happen to be, and would not even fall with ε.
    log_delta.value = std::max(log_delta.value, kLeastLogDelta);
    const PldBound one =
        exact ? PldBound{0} : LogDeltaOf(events, direction, epsilon, log_delta.value);
    log_delta.value = std::max(log_delta.value, one.value);
    log_delta.loose = log_delta.loose || one.loose;
  }
  if (log_delta.value == kLeastLogDelta) {
    const double by_moments = LogDeltaByMoments(events, epsilon);
    if (by_moments < kLeastLogDelta) log_delta = {by_moments, false, true};
    log_delta.loose = by_moments == kLeastLogMomentDelta;
  }
  if (std::isfinite(log_delta.value) && AllGaussian(events)) {
    const double unsampled = LogDeltaOfGaussian(GaussianRatio(events), epsilon);
    if (unsampled < log_delta.value) log_delta = {unsampled, log_delta.loose};
  }
  return log_delta;
}

bool HasManySteps(std::span<const Event> events) {
  double steps = 0;
  for (const Event& event : events) steps += static_cast<double>(event.steps);
  return steps > kManySteps;
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
  const bool small = std::log(delta) < kLeastLogDelta;
  PldBound epsilon = {0, HasManySteps(events) && !small};
  for (const Direction direction : DirectionsOf(events.front().neighbours)) {
    const ShiftedEvents parts = ShiftLittleNoise(events, direction);
    PldBound one;
    if (exact || parts.composed.empty()) {
      one.value = WithSlack(
          delta, slack, [&](double log_delta) { return EpsilonOf(events, direction, log_delta); });
    } else if (small) {
      one = EpsilonByMoments(events, parts, direction, delta, slack);
    } else {
      one = EpsilonByComposing(events, parts, direction, delta, slack, epsilon.value);
    }
    epsilon.loose = epsilon.loose || one.loose;
    if (one.value > epsilon.value) {
      epsilon.value = one.value;
      epsilon.by_moments = one.by_moments;
    }
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
                  bound.loose || (HasManySteps(events) && !bound.by_moments), bound.by_moments};
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
