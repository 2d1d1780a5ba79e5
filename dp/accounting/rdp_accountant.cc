#include "dp/accounting/rdp_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "dp/accounting/rdp_conversion.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Fine near 1, where large ε have their best order; tenths and whole numbers where the curves of
// sampled Gaussians turn; geometric above, for small ε.
std::vector<double> MakeOrders() {
  std::vector<double> orders;
  for (const double excess : {0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09}) {
    orders.push_back(1 + excess);
  }
  for (int tenth = 11; tenth < 110; ++tenth) orders.push_back(tenth / 10.0);
  for (int order = 11; order < 64; ++order) orders.push_back(order);
  // 64 · 1.0625^69 is the last below 4200.
  for (int i = 0; i < 70; ++i) orders.push_back(std::round(64 * std::pow(1.0625, i)));
  return orders;
}

base::Status ValidateDelta(double delta) {
  if (delta > 0 && delta < 1) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "delta, accounting: give a number between 0 and 1, both excluded");
}

base::Status ValidateEpsilon(double epsilon) {
  if (epsilon >= 0 && !std::isinf(epsilon)) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "epsilon, accounting: give a finite number that is not negative");
}

base::Status ValidateAll(std::span<const Event> events) {
  for (const Event& event : events) {
    CLOISTER_RETURN_IF_ERROR(Validate(event));
    CLOISTER_RETURN_IF_ERROR(CheckRdpCovers(event.neighbours));
    if (event.neighbours != events.front().neighbours) {
      return base::Fail(base::Code::kInvalidArgument,
                        "events of neighbour relations " +
                            std::string(NeighboursName(events.front().neighbours)) + " and " +
                            std::string(NeighboursName(event.neighbours)) +
                            ", composition: account for each relation alone");
    }
  }
  return {};
}

double TotalSlack(std::span<const Event> events) {
  double slack = 0;
  for (const Event& event : events) slack += event.delta_slack;
  return slack;
}

double SmallestEpsilon(std::span<const double> orders, std::span<const double> rdp, double delta) {
  double epsilon = kInfinity;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    epsilon = std::min(epsilon, EpsilonOfRdp(orders[i], rdp[i], delta));
  }
  return epsilon;
}

// A run of probability law P that is within total variation s of a law that is (ε,
// d)-indistinguishable from its neighbour's is (ε, d + (1 + e^ε) s)-indistinguishable: both laws
// move by s. So the ε wanted is the smallest fixed point of ε -> bound(delta - (1 + e^ε) slack),
// which rises with ε: iterating from below reaches it, or finds that there is none.
double EpsilonWithSlack(std::span<const double> orders, std::span<const double> rdp, double delta,
                        double slack) {
  double epsilon = SmallestEpsilon(orders, rdp, delta);
  if (slack == 0 || std::isinf(epsilon)) return epsilon;
  for (int i = 0; i < 200; ++i) {
    // Aimed a little above, so that where the loop ends the inequality truly holds.
    const double aimed = epsilon * (1 + 1e-12);
    const double left = delta - (1 + std::exp(aimed)) * slack;
    if (!(left > 0)) return kInfinity;
    const double next = SmallestEpsilon(orders, rdp, left);
    if (next <= aimed) return aimed;
    epsilon = next;
  }
  return kInfinity;
}

std::vector<double> StepRdp(double noise_multiplier, double sampling_rate) {
  std::vector<double> rdp;
  for (const double order : RdpOrders()) {
    rdp.push_back(RdpOfSampledGaussian(noise_multiplier, sampling_rate, order));
  }
  return rdp;
}

double EpsilonOfSteps(std::span<const double> step_rdp, std::int64_t steps, double delta) {
  double epsilon = kInfinity;
  const std::span<const double> orders = RdpOrders();
  for (std::size_t i = 0; i < orders.size(); ++i) {
    epsilon =
        std::min(epsilon, EpsilonOfRdp(orders[i], step_rdp[i] * static_cast<double>(steps), delta));
  }
  return epsilon;
}

}  // namespace

base::Status CheckRdpCovers(Neighbours relation) {
  if (relation != Neighbours::kReplaceOne) return {};
  return base::Fail(base::Code::kUnimplemented,
                    "neighbour relation replace-one, RDP accountant: no bound is built for it yet; "
                    "use add-or-remove-one");
}

std::span<const double> RdpOrders() {
  static const std::vector<double> orders = MakeOrders();
  return orders;
}

double EpsilonOfRdp(double order, double rdp, double delta) {
  // Total variation is at most sqrt(1 - exp(-KL)) (Bretagnolle, Huber), and KL at most any order's
  // divergence: where that is within delta, ε is 0.
  if (-std::expm1(-rdp) <= delta * delta) return 0;
  if (std::isinf(rdp)) return kInfinity;
  const double epsilon =
      rdp + std::log1p(-1 / order) - (std::log(delta) + std::log(order)) / (order - 1);
  return std::max(0.0, epsilon);
}

double DeltaOfRdp(double order, double rdp, double epsilon) {
  const double by_variation = std::sqrt(-std::expm1(-rdp));
  if (std::isinf(rdp)) return 1;
  const double log_delta = (order - 1) * (rdp - epsilon + std::log1p(-1 / order)) - std::log(order);
  return std::min({1.0, by_variation, std::exp(log_delta)});
}

std::vector<double> ComposedRdp(std::span<const Event> events, std::span<const double> orders) {
  // Events that differ in steps alone share the costly part.
  struct Kind {
    double noise_multiplier;
    double sampling_rate;
    double steps;
  };
  std::vector<Kind> kinds;
  for (const Event& event : events) {
    const auto same = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& kind) {
      return kind.noise_multiplier == event.noise_multiplier &&
             kind.sampling_rate == event.sampling_rate;
    });
    if (same != kinds.end()) {
      same->steps += static_cast<double>(event.steps);
    } else {
      kinds.push_back(
          {event.noise_multiplier, event.sampling_rate, static_cast<double>(event.steps)});
    }
  }
  std::vector<double> rdp(orders.size(), 0.0);
  for (const Kind& kind : kinds) {
    for (std::size_t i = 0; i < orders.size(); ++i) {
      rdp[i] +=
          kind.steps * RdpOfSampledGaussian(kind.noise_multiplier, kind.sampling_rate, orders[i]);
    }
  }
  return rdp;
}

base::Result<double> RdpEpsilon(std::span<const Event> events, double delta) {
  CLOISTER_RETURN_IF_ERROR(ValidateDelta(delta));
  CLOISTER_RETURN_IF_ERROR(ValidateAll(events));
  const std::vector<double> rdp = ComposedRdp(events, RdpOrders());
  return EpsilonWithSlack(RdpOrders(), rdp, delta, TotalSlack(events));
}

base::Result<double> RdpDelta(std::span<const Event> events, double epsilon) {
  CLOISTER_RETURN_IF_ERROR(ValidateEpsilon(epsilon));
  CLOISTER_RETURN_IF_ERROR(ValidateAll(events));
  const std::span<const double> orders = RdpOrders();
  const std::vector<double> rdp = ComposedRdp(events, orders);
  double delta = 1;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    delta = std::min(delta, DeltaOfRdp(orders[i], rdp[i], epsilon));
  }
  const double slack = TotalSlack(events);
  return slack == 0 ? delta : std::min(1.0, delta + (1 + std::exp(epsilon)) * slack);
}

base::Result<double> CalibrateNoise(double epsilon, double delta, double sampling_rate,
                                    std::int64_t steps) {
  constexpr double kLargest = 1e9;
  constexpr double kSmallest = 1e-3;
  CLOISTER_RETURN_IF_ERROR(ValidateEpsilon(epsilon));
  CLOISTER_RETURN_IF_ERROR(ValidateDelta(delta));
  const Event probe{kLargest, sampling_rate, steps, Neighbours::kAddOrRemoveOne};
  CLOISTER_RETURN_IF_ERROR(Validate(probe));
  const auto suffices = [&](double noise_multiplier) {
    return EpsilonOfSteps(StepRdp(noise_multiplier, sampling_rate), steps, delta) <= epsilon;
  };
  // ε falls as noise rises: double until it suffices, then halve the interval (in logarithm).
  double high = 1;
  while (!suffices(high)) {
    high *= 2;
    if (high > kLargest) {
      return base::Fail(base::Code::kInvalidArgument,
                        "no noise multiplier up to 1e9 keeps epsilon, calibration: raise epsilon "
                        "or delta, or take fewer steps");
    }
  }
  double low = high / 2;
  while (low > kSmallest && suffices(low)) {
    high = low;
    low /= 2;
  }
  while (high / low > 1 + 5e-5) {
    const double middle = std::sqrt(low * high);
    (suffices(middle) ? high : low) = middle;
  }
  return high;
}

base::Result<std::int64_t> AffordableSteps(double epsilon, double delta, double noise_multiplier,
                                           double sampling_rate) {
  constexpr std::int64_t kMost = 1'000'000'000'000;
  CLOISTER_RETURN_IF_ERROR(ValidateEpsilon(epsilon));
  CLOISTER_RETURN_IF_ERROR(ValidateDelta(delta));
  const Event probe{noise_multiplier, sampling_rate, 1, Neighbours::kAddOrRemoveOne};
  CLOISTER_RETURN_IF_ERROR(Validate(probe));
  const std::vector<double> step_rdp = StepRdp(noise_multiplier, sampling_rate);
  std::int64_t affordable = 0;
  std::int64_t beyond = kMost + 1;
  while (beyond - affordable > 1) {
    const std::int64_t middle = affordable + (beyond - affordable) / 2;
    (EpsilonOfSteps(step_rdp, middle, delta) <= epsilon ? affordable : beyond) = middle;
  }
  return affordable;
}

}  // namespace cloister::dp
