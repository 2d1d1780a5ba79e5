#include "dp/accounting/saddle_point.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cloister::dp {
namespace {

constexpr double kInfinityShare = 1e-6;  // of δ, for the tails of all steps
// A δ below this is none that a double can tell: larger tilts would only overflow.
constexpr double kTooSmall = -800;

// log of δ at the tilted mean, by the saddle point method: a guess, never a bound.
double GuessLogDelta(double tilt, const Cumulant& at, double epsilon) {
  const double width = std::max(2 * std::numbers::pi * tilt * tilt * at.variance, 1.0);
  return at.value - tilt * epsilon - std::log1p(tilt) - 0.5 * std::log(width);
}

// Where `is_low`, true of small tilts, turns false: within two percent, at most at `most`.
template <typename IsLow>
double Turn(double low, double most, const IsLow& is_low) {
  if (low >= most || !is_low(low)) return low;
  double high = low;
  while (high < most && is_low(high)) {
    low = high;
    high = std::min(most, high * 4);
  }
  while (high > low * 1.02) {
    const double middle = std::sqrt(low * high);
    (is_low(middle) ? low : high) = middle;
  }
  return high;
}

}  // namespace

std::vector<Kind> KindsOf(std::span<const Event> events) {
  std::vector<Kind> kinds;
  double gaussian = 0;  // Σ steps / σ²
  for (const Event& event : events) {
    if (event.mechanism == Mechanism::kGaussian && event.sampling_rate == 1) {
      gaussian +=
          static_cast<double>(event.steps) / event.noise_multiplier / event.noise_multiplier;
      continue;
    }
    Event one = event;
    one.steps = 1;
    one.delta_slack = 0;
    const auto same = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const Kind& kind) { return kind.event == one; });
    if (same == kinds.end()) {
      kinds.push_back({one, static_cast<double>(event.steps)});
    } else {
      same->steps += static_cast<double>(event.steps);
    }
  }
  if (gaussian > 0) {
    // As one release, or as several of 3 standard deviations at most, whose nodes are fewer.
    const double releases = std::ceil(gaussian / 9);
    Event one = events.front();
    one = {std::sqrt(releases / gaussian), 1, 1, one.neighbours};
    kinds.push_back({one, releases});
  }
  return kinds;
}

double StepsOf(std::span<const Kind> kinds) {
  double steps = 0;
  for (const Kind& kind : kinds) steps += kind.steps;
  return steps;
}

Event CoarseEvent(Event event) {
  if (event.mechanism == Mechanism::kDiscreteGaussian && Sigma(event) > 50) {
    event.mechanism = Mechanism::kGaussian;
    event.sensitivity = 1;
  }
  return event;
}

double TailFor(double log_delta, double steps) {
  const double log_tail = log_delta + std::log(kInfinityShare) - std::log(steps);
  return std::exp(std::clamp(log_tail, -700.0, -36.0));
}

CoarseLosses::CoarseLosses(std::span<const Kind> kinds, Direction direction, double tail,
                           double cap) {
  for (const Kind& kind : kinds) {
    PrivacyLoss step = StepLoss(CoarseEvent(kind.event), direction, {kCell, tail});
    while (step.loss.size() > 2 && step.loss.back() > cap) {
      step.loss.pop_back();
      step.mass.pop_back();
    }
    losses_.push_back(std::move(step));
    steps_.push_back(kind.steps);
  }
}

double CoarseLosses::LogDeltaOfOne(double epsilon) const {
  double sum = 0;
  for (std::size_t k = 0; k < losses_.size(); ++k) {
    const PrivacyLoss& step = losses_[k];
    for (std::size_t i = step.loss.size(); i-- > 0 && step.loss[i] > epsilon;) {
      sum += steps_[k] * step.mass[i] * -std::expm1(epsilon - step.loss[i]);
    }
  }
  return std::log(sum);
}

double CoarseLosses::EpsilonOfOne(double log_delta) const {
  double low = 0;
  double high = 0;
  for (const PrivacyLoss& loss : losses_) high = std::max(high, loss.loss.back());
  if (LogDeltaOfOne(0) <= log_delta) return 0;
  while (high - low > 1e-2 * high) {
    const double middle = low + (high - low) / 2;
    (LogDeltaOfOne(middle) <= log_delta ? high : low) = middle;
  }
  return high;
}

double CoarseLosses::LeaveOutLarge(double epsilon, double most) {
  return LargeLosses(steps_, losses_, epsilon, 0, most).Cap();
}

Cumulant CoarseLosses::At(double tilt) const {
  Cumulant sum;
  for (std::size_t k = 0; k < losses_.size(); ++k) {
    const Cumulant one = CumulantOf(losses_[k], tilt);
    sum.value += steps_[k] * one.value;
    sum.mean += steps_[k] * one.mean;
    sum.variance += steps_[k] * one.variance;
  }
  return sum;
}

double CoarseLosses::Spread() const {
  double spread = 0;
  for (const PrivacyLoss& loss : losses_) {
    spread = std::max(spread, loss.loss.back() - loss.loss.front());
  }
  return spread;
}

double CoarseLosses::NodeRise(double tilt) const {
  double squares = 0;
  for (std::size_t k = 0; k < losses_.size(); ++k) {
    const PrivacyLoss& loss = losses_[k];
    const TiltedLoss tilted = Tilt(loss, tilt, CumulantOf(loss, tilt).value);
    for (std::size_t i = 1; i < tilted.loss.size(); ++i) {
      const double cell = tilted.loss[i] - tilted.loss[i - 1];
      squares += steps_[k] * tilted.mass[i] * cell * cell;
    }
  }
  return tilt * (tilt + 1) / 12 * squares;
}

double CoarseLosses::LocalRise(double epsilon, double slope) const {
  double widest = 1e-300;
  for (const PrivacyLoss& loss : losses_) {
    const auto next = std::upper_bound(loss.loss.begin(), loss.loss.end(), epsilon);
    if (next == loss.loss.begin() || next == loss.loss.end()) continue;
    widest = std::max(widest, *next - *(next - 1));
  }
  return slope * (slope + 1) / 12 * widest * widest;
}

Saddle FindSaddle(const CoarseLosses& coarse, const Target& target, double error,
                  double error_share, std::optional<double> log_delta) {
  const double most = 1e5 / coarse.Spread();
  // The least is one over the standard deviation of a normal law: below, nothing is gained. Rare
  // large losses make it smaller.
  const Cumulant none = coarse.At(0);
  const double flat = std::min(most, 1 / std::sqrt(none.variance));
  const double least = Turn(1e-6 * flat, flat, [&](double tilt) {
    return coarse.At(tilt).value - none.value - tilt * none.mean < 0.5;
  });
  Saddle found;
  found.slope = Turn(least, most, [&](double tilt) {
    const Cumulant at = coarse.At(tilt);
    return target.at_delta ? GuessLogDelta(tilt, at, at.mean) > std::log(target.value)
                           : at.mean < target.value && at.value - tilt * target.value > kTooSmall;
  });
  const Cumulant at = coarse.At(found.slope);
  found.epsilon = target.at_delta ? at.mean : target.value;
  found.deviation = std::sqrt(at.variance);
  found.log_delta = target.at_delta
                        ? std::log(target.value)
                        : log_delta.value_or(GuessLogDelta(found.slope, at, target.value));
  const double enough = found.log_delta - std::log(error / error_share);
  // Where the least is far below that of a normal law, large losses already have half the mass
  // there.
  found.tilt = Turn(least * std::max(least / flat, 0.1), found.slope, [&](double tilt) {
    return coarse.At(tilt).value - tilt * found.epsilon > enough;
  });
  return found;
}

}  // namespace cloister::dp
