#include "dp/accounting/rdp_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "dp/accounting/accounting_input.h"
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

base::Status CheckCovered(std::span<const Event> events) {
  for (const Event& event : events) CLOISTER_RETURN_IF_ERROR(CheckRdpCovers(event));
  return {};
}

double SmallestEpsilon(std::span<const double> orders, std::span<const double> rdp, double delta) {
  double epsilon = kInfinity;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    epsilon = std::min(epsilon, EpsilonOfRdp(orders[i], rdp[i], delta));
  }
  return epsilon;
}

// The least ε that keeps `delta` when the events' slack is taken from it (accounting_input.h): the
// smallest fixed point of ε -> bound(delta - (1 + e^ε) slack), which rises with ε: iterating from
// below reaches it, or finds that there is none.
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

}  // namespace

std::span<const double> RdpOrders() {
  static const std::vector<double> orders = MakeOrders();
  return orders;
}

base::Result<double> RdpEpsilon(std::span<const Event> events, double delta) {
  CLOISTER_RETURN_IF_ERROR(ValidateDelta(delta));
  CLOISTER_RETURN_IF_ERROR(ValidateEvents(events));
  CLOISTER_RETURN_IF_ERROR(CheckCovered(events));
  const std::vector<double> rdp = ComposedRdp(events, RdpOrders());
  return EpsilonWithSlack(RdpOrders(), rdp, delta, TotalSlack(events));
}

base::Result<double> RdpDelta(std::span<const Event> events, double epsilon) {
  CLOISTER_RETURN_IF_ERROR(ValidateEpsilon(epsilon));
  CLOISTER_RETURN_IF_ERROR(ValidateEvents(events));
  CLOISTER_RETURN_IF_ERROR(CheckCovered(events));
  const std::span<const double> orders = RdpOrders();
  const std::vector<double> rdp = ComposedRdp(events, orders);
  double delta = 1;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    delta = std::min(delta, DeltaOfRdp(orders[i], rdp[i], epsilon));
  }
  const double slack = TotalSlack(events);
  return slack == 0 ? delta : std::min(1.0, delta + (1 + std::exp(epsilon)) * slack);
}

}  // namespace cloister::dp
