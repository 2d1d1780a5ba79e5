#include "dp/ledger/rdp_filter.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "dp/accounting/accounting_input.h"
#include "dp/accounting/rdp_accountant.h"
#include "dp/accounting/rdp_conversion.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kSlackShare = 1e-6;  // of δ

// B(α): the largest divergence whose ε at δ is within the budget; negative where even 0 is not.
double OrderBudget(double order, const PrivacyBudget& budget) {
  const double delta = budget.delta * (1 - kSlackShare);
  return budget.epsilon - std::log1p(-1 / order) +
         (std::log(delta) + std::log(order)) / (order - 1);
}

std::string Rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

double FilterOrder(const Event& event, const PrivacyBudget& budget) {
  double best_order = RdpOrders().front();
  double best_repeats = -kInfinity;
  const std::vector<double> rdp = RdpOfStep(event, RdpOrders());
  for (std::size_t i = 0; i < rdp.size(); ++i) {
    const double order = RdpOrders()[i];
    const double allowed = OrderBudget(order, budget);
    if (allowed <= 0) continue;
    const double repeats = allowed / rdp[i];
    if (repeats > best_repeats) {
      best_repeats = repeats;
      best_order = order;
    }
  }
  return best_order;
}

base::Status CheckWithinBudget(std::span<const Event> events, std::span<const double> orders,
                               const PrivacyBudget& budget) {
  if (events.empty()) return {};
  const std::string limit = "the data set's budget of epsilon " + Rounded(budget.epsilon) +
                            " at delta " + Rounded(budget.delta);
  if ((1 + std::exp(budget.epsilon)) * TotalSlack(events) > kSlackShare * budget.delta) {
    // It counts e^epsilon times.
    const double room = std::log(kSlackShare * budget.delta / TotalSlack(events) - 1);
    return base::Fail(base::Code::kResourceExhausted,
                      "the sampler's error bound would pass its share of delta" +
                          (room > 0 ? " (it would not with a budget of epsilon " +
                                          Rounded(std::floor(room * 100) / 100) + ")"
                                    : std::string()) +
                          ", " + limit);
  }
  const std::vector<double> rdp = ComposedRdp(events, orders);
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (rdp[i] <= OrderBudget(orders[i], budget)) continue;
    const double epsilon = EpsilonOfRdp(orders[i], rdp[i], budget.delta);
    return base::Fail(base::Code::kResourceExhausted,
                      "the spends would come to epsilon " + Rounded(epsilon) +
                          " by the budget's count (a filter's, which holds whatever jobs come "
                          "later and is above what `cloister privacy epsilon` prints of one plan), "
                          "past " +
                          limit);
  }
  return {};
}

double FilterShare(std::span<const Event> events, std::span<const double> orders,
                   const PrivacyBudget& budget) {
  if (events.empty()) return 0;
  const std::vector<double> rdp = ComposedRdp(events, orders);
  double share = orders.empty() ? kInfinity : 0;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const double allowed = OrderBudget(orders[i], budget);
    share = std::max(share, allowed > 0 ? rdp[i] / allowed : kInfinity);
  }
  return share;
}

double FilterEpsilon(std::span<const Event> events, std::span<const double> orders, double delta) {
  if (events.empty()) return 0;
  const std::vector<double> rdp = ComposedRdp(events, orders);
  double epsilon = orders.empty() ? kInfinity : 0;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    // The bound of the filter itself, whose share for slack is set aside.
    epsilon = std::max(epsilon, EpsilonOfRdp(orders[i], rdp[i], delta * (1 - kSlackShare)));
  }
  const bool slack_fits = (1 + std::exp(epsilon)) * TotalSlack(events) <= kSlackShare * delta;
  return slack_fits ? epsilon : kInfinity;
}

}  // namespace cloister::dp
