#include "dp/accounting/capped_moments.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "dp/accounting/saddle_point.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kCell = 0.05;            // raises a moment's logarithm by half a thousandth of it
constexpr std::size_t kMostNodes = 4096;  // of a step with a loss an outcome
constexpr double kCapRatio = 1.05;
constexpr double kTiltRatio = 1.1;
constexpr double kFineTiltRatio = 1.02;  // where rare large losses single out a tilt
constexpr double kLeastCap = 1e-7;
constexpr double kMostCap = 1e4;
constexpr double kLeastTilt = 1e-4;
constexpr double kLeastFineTilt = 0.7;
constexpr double kMostFineTilt = 50;
constexpr double kMostTilt = 1e8;
constexpr double kLeastExponent = 0.5;  // tilt · cap: a cap that low hardly cuts into the moment
constexpr double kMostExponent = 700;   // exp stays finite
constexpr double kSmallExponent = -60;  // what is below counts as much
constexpr double kRounding = 4e-16;
constexpr double kMargin = 1e-9;  // for what is rounded after

void AddGeometric(std::vector<double>& values, double least, double most, double ratio) {
  double at = least;
  while (at < most) {
    values.push_back(at);
    at *= ratio;
  }
}

// The last is no cap at all.
const std::vector<double>& Caps() {
  static const std::vector<double> caps = [] {
    std::vector<double> made;
    AddGeometric(made, kLeastCap, kMostCap, kCapRatio);
    made.push_back(kInfinity);
    return made;
  }();
  return caps;
}

const std::vector<double>& Tilts() {
  static const std::vector<double> tilts = [] {
    std::vector<double> made;
    AddGeometric(made, kLeastTilt, kLeastFineTilt, kTiltRatio);
    AddGeometric(made, kLeastFineTilt, kMostFineTilt, kFineTiltRatio);
    AddGeometric(made, kMostFineTilt, kMostTilt, kTiltRatio);
    return made;
  }();
  return tilts;
}

bool IsUsed(double tilt, double cap) {
  return std::isinf(cap) || (tilt * cap >= kLeastExponent && tilt * cap <= kMostExponent);
}

// Every n-th loss, the others given to the two around them so that P and Q keep their masses.
PrivacyLoss Thinned(const PrivacyLoss& fine) {
  const std::size_t count = fine.loss.size();
  const std::size_t stride = (count + kMostNodes - 1) / kMostNodes;
  if (stride <= 1) return fine;
  PrivacyLoss made;
  made.infinity_mass = fine.infinity_mass;
  made.loss.push_back(fine.loss.front());
  made.mass.push_back(fine.mass.front());
  for (std::size_t first = 0; first + 1 < count; first += stride) {
    const std::size_t last = std::min(first + stride, count - 1);
    const double low = fine.loss[first];
    const double high = fine.loss[last];
    double upper = fine.mass[last];
    for (std::size_t i = first + 1; i < last; ++i) {
      const double share =
          high > low ? std::min(1.0, std::expm1(low - fine.loss[i]) / std::expm1(low - high)) : 1;
      upper += share * fine.mass[i];
      made.mass.back() += (1 - share) * fine.mass[i];
    }
    made.loss.push_back(high);
    made.mass.push_back(upper);
  }
  return made;
}

// log of the bound's factor (1 - 1/(λ+1))^λ / (λ+1).
double LogFactor(double tilt) { return -tilt * std::log1p(1 / tilt) - std::log1p(tilt); }

}  // namespace

CappedMoments::CappedMoments(std::span<const Event> events, Direction direction, double log_delta)
    : beyond_(Caps().size(), 0.0) {
  for (const double tilt : Tilts()) {
    for (std::size_t i = 0; i < Caps().size(); ++i) {
      if (IsUsed(tilt, Caps()[i])) moments_.push_back({tilt, i, kMargin});
    }
  }
  const std::vector<Kind> kinds = KindsOf(events);
  const double tail = TailFor(log_delta, StepsOf(kinds));
  for (const Kind& kind : kinds) {
    AddSteps(Thinned(StepLoss(kind.event, direction, {kCell, tail})), kind.steps);
  }
}

void CappedMoments::AddSteps(const PrivacyLoss& step, double steps) {
  const std::vector<double>& caps = Caps();
  const std::vector<double>& loss = step.loss;
  const std::size_t count = loss.size();
  const double rounding = kQuadratureError + kRounding * static_cast<double>(count);
  // P's mass from each loss on, and that part of it which sQ does not cover where s is at the loss:
  // of positive terms alone, so that both keep their digits.
  std::vector<double> from(count + 1, step.infinity_mass);
  std::vector<double> over(count + 1, step.infinity_mass);
  const auto over_at = [&](double at, std::size_t i) {
    return i == count ? step.infinity_mass
                      : -std::expm1(at - loss[i]) * from[i] + std::exp(at - loss[i]) * over[i];
  };
  for (std::size_t i = count; i-- > 0;) {
    over[i] = over_at(loss[i], i + 1);
    from[i] = from[i + 1] + step.mass[i];
  }
  std::vector<std::size_t> end(caps.size());  // of the losses within each cap
  std::vector<double> beyond(caps.size());
  for (std::size_t j = 0; j < caps.size(); ++j) {
    end[j] = static_cast<std::size_t>(std::upper_bound(loss.begin(), loss.end(), caps[j]) -
                                      loss.begin());
    beyond[j] = over_at(caps[j], end[j]);
    beyond_[j] += steps * beyond[j] * (1 + rounding);
  }
  double tilt = 0;
  std::size_t next = 0;
  double sum = 0;
  for (Moment& moment : moments_) {
    if (moment.tilt != tilt) {
      tilt = moment.tilt;
      next = static_cast<std::size_t>(
          std::lower_bound(loss.begin(), loss.end(), kSmallExponent / tilt) - loss.begin());
      sum = (from[0] - from[next]) * std::exp(kSmallExponent);
    }
    const std::size_t stop = end[moment.cap];
    for (; next < stop && tilt * loss[next] <= kMostExponent; ++next) {
      sum += step.mass[next] * std::exp(tilt * loss[next]);
    }
    if (next < stop) {
      moment.log_value = kInfinity;
      continue;
    }
    double value = sum;
    const double cap = caps[moment.cap];
    if (std::isfinite(cap)) {
      value += std::exp(tilt * cap) * (from[stop] + tilt * beyond[moment.cap]);
    }
    // Exponents are rounded as they are large; none is above the most.
    moment.log_value += steps * (std::log(value) + rounding + kRounding * kMostExponent);
  }
}

template <typename Visit>
void CappedMoments::ForMoments(const Visit& visit) const {
  double tilt = 0;
  double log_factor = 0;
  for (const Moment& moment : moments_) {
    if (moment.tilt != tilt) {
      tilt = moment.tilt;
      log_factor = LogFactor(tilt);
    }
    visit(moment, moment.log_value + log_factor);
  }
}

double CappedMoments::Epsilon(double log_delta) const {
  const double delta = std::exp(log_delta);
  std::vector<double> log_left(beyond_.size());
  for (std::size_t i = 0; i < beyond_.size(); ++i) {
    log_left[i] = delta > beyond_[i] ? std::log(delta - beyond_[i]) : -kInfinity;
  }
  double epsilon = kInfinity;
  ForMoments([&](const Moment& moment, double log_bound) {
    epsilon = std::min(epsilon, (log_bound - log_left[moment.cap]) / moment.tilt);
  });
  return std::max(0.0, epsilon);
}

double CappedMoments::LogDelta(double epsilon) const {
  double delta = 1;
  ForMoments([&](const Moment& moment, double log_bound) {
    const double beyond = beyond_[moment.cap];
    if (beyond >= delta) return;
    delta = std::min(delta, beyond + std::exp(log_bound - moment.tilt * epsilon));
  });
  return std::log(delta);
}

}  // namespace cloister::dp
