#include "dp/accounting/rdp_conversion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "dp/accounting/privacy_loss.h"
#include "dp/accounting/rdp_accountant.h"
#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> RdpOfLaplace(const Event& event, std::span<const double> orders) {
  // Nodes raise a divergence by a few millionths. No tail is cut off: losses are bounded.
  constexpr Resolution kFine = {0.005, 1e-16};
  // Over all rounding of masses and their sums, which small divergences would not cover otherwise.
  constexpr double kMargin = 1e-12;
  std::vector<double> rdp(orders.size(), 0.0);
  for (const Direction direction : DirectionsOf(event.neighbours)) {
    const PrivacyLoss loss = StepLoss(event, direction, kFine);
    for (std::size_t i = 0; i < orders.size(); ++i) {
      const double moment = CumulantOf(loss, orders[i] - 1).value + kMargin;
      rdp[i] = std::max(rdp[i], moment / (orders[i] - 1) * (1 + kMargin));
    }
  }
  return rdp;
}

// What a sampled Gaussian of this multiplier bounds: two units differ by twice as much as one.
double GaussianMultiplier(const Event& event) {
  return event.neighbours == Neighbours::kReplaceOne ? event.noise_multiplier / 2
                                                     : event.noise_multiplier;
}

// The end of an error: the other accountant where that has a bound, or else what to change.
std::string OrUsePld(const Event& event, const std::string& also) {
  if (HasStepLoss(event)) return "use the PLD accountant" + also;
  return "give a multiplier of at least 0.02 and a discrete Gaussian's sigma of at most 10000, "
         "which the PLD accountant covers" +
         also;
}

}  // namespace

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
  // Too small for a double, but not nothing.
  const double delta = std::max(std::exp(log_delta), std::numeric_limits<double>::denorm_min());
  return std::min({1.0, by_variation, delta});
}

std::vector<double> RdpOfStep(const Event& event, std::span<const double> orders) {
  if (event.mechanism == Mechanism::kLaplace) return RdpOfLaplace(event, orders);
  // That of a removal, which is never the smaller; and no divergence is above the largest loss,
  // which an addition has.
  constexpr double kMargin = 1e-11;
  double largest = 0;
  for (const Direction direction : DirectionsOf(event.neighbours)) {
    largest = std::max(largest, LargestLoss(event, direction) * (1 + kMargin));
  }
  std::vector<double> rdp;
  rdp.reserve(orders.size());
  for (const double order : orders) {
    rdp.push_back(std::min(
        largest, RdpOfSampledGaussian(GaussianMultiplier(event), event.sampling_rate, order)));
  }
  return rdp;
}

std::vector<double> ComposedRdp(std::span<const Event> events, std::span<const double> orders) {
  // Events that differ in steps alone share the costly part.
  struct Kind {
    Event event;
    double steps;
  };
  std::vector<Kind> kinds;
  for (const Event& event : events) {
    Event one = event;
    one.steps = 1;
    one.delta_slack = 0;
    const auto same = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const Kind& kind) { return kind.event == one; });
    if (same != kinds.end()) {
      same->steps += static_cast<double>(event.steps);
    } else {
      kinds.push_back({one, static_cast<double>(event.steps)});
    }
  }
  std::vector<double> rdp(orders.size(), 0.0);
  for (const Kind& kind : kinds) {
    const std::vector<double> step = RdpOfStep(kind.event, orders);
    for (std::size_t i = 0; i < orders.size(); ++i) rdp[i] += kind.steps * step[i];
  }
  return rdp;
}

base::Status CheckRdpCovers(const Event& event) {
  if (event.mechanism == Mechanism::kLaplace || event.sampling_rate == 1) return {};
  if (event.mechanism == Mechanism::kDiscreteGaussian) {
    return base::Fail(base::Code::kUnimplemented,
                      "a sampled discrete Gaussian, RDP accountant: it has no bound for it; " +
                          OrUsePld(event, ""));
  }
  if (event.neighbours != Neighbours::kReplaceOne) return {};
  return base::Fail(base::Code::kUnimplemented,
                    "neighbour relation replace-one of a sample, RDP accountant: it has no bound "
                    "for it; " +
                        OrUsePld(event, ", or use add-or-remove-one"));
}

base::Status CheckRdpCovers(Neighbours relation) {
  if (relation != Neighbours::kReplaceOne) return {};
  return base::Fail(base::Code::kUnimplemented,
                    "neighbour relation replace-one of a sample, RDP accountant: it has no bound "
                    "for it; use the PLD accountant or add-or-remove-one");
}

}  // namespace cloister::dp
