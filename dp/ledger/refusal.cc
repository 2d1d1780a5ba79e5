#include "dp/ledger/refusal.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "dp/ledger/rdp_filter.h"

namespace cloister::dp {
namespace {

constexpr double kMostNoise = 1e9;

std::string FourDigits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

double Parsed(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

// One unit in the fourth digit of a number above 0.
double LastPlace(double value) { return std::pow(10, std::floor(std::log10(value)) - 3); }

// To the number that four digits print, in the direction that is asked.
double RoundUp(double value) {
  const double near = Parsed(FourDigits(value));
  return near >= value ? near : Parsed(FourDigits(value + LastPlace(value)));
}
double RoundDown(double value) {
  if (value <= 0) return 0;
  const double near = Parsed(FourDigits(value));
  return near <= value ? near : std::max(0.0, Parsed(FourDigits(value - LastPlace(value))));
}

std::vector<double> OrdersFor(const Event& event, std::span<const double> fixed,
                              const PrivacyBudget& budget) {
  if (fixed.empty()) return {FilterOrder(event, budget)};
  return {fixed.begin(), fixed.end()};
}

// The question that a debit asks, of other plans.
class Filter {
 public:
  Filter(std::span<const Event> spent, std::span<const double> fixed, const PrivacyBudget& budget)
      : events_(spent.begin(), spent.end()), fixed_(fixed), budget_(budget) {}

  base::Status Check(const Event& event) {
    events_.push_back(event);
    base::Status passes = CheckWithinBudget(events_, OrdersFor(event, fixed_, budget_), budget_);
    events_.pop_back();
    return passes;
  }
  bool Passes(const Event& event) { return Check(event).has_value(); }

 private:
  std::vector<Event> events_;
  std::span<const double> fixed_;
  const PrivacyBudget& budget_;
};

Event WithSteps(Event event, std::int64_t steps) {
  // Slack is over all steps. A job whose own sum rounds otherwise has a little less.
  event.delta_slack *= static_cast<double>(steps) / static_cast<double>(event.steps) * (1 + 1e-12);
  event.steps = steps;
  return event;
}

Event WithNoise(Event event, double noise_multiplier) {
  event.noise_multiplier = noise_multiplier;
  return event;
}

// `planned` does not pass.
std::int64_t MostSteps(Filter& filter, const Event& planned) {
  std::int64_t passing = 0;
  std::int64_t beyond = planned.steps;
  while (beyond - passing > 1) {
    const std::int64_t middle = passing + (beyond - passing) / 2;
    (filter.Passes(WithSteps(planned, middle)) ? passing : beyond) = middle;
  }
  return passing;
}

std::optional<double> LeastNoise(Filter& filter, const Event& planned) {
  const auto passes = [&](double noise) { return filter.Passes(WithNoise(planned, noise)); };
  double low = planned.noise_multiplier;
  double high = low;
  do {
    if (high >= kMostNoise) return std::nullopt;
    low = high;
    high = std::min(2 * high, kMostNoise);
  } while (!passes(high));
  while (high / low > 1 + 1e-6) {
    const double middle = std::sqrt(low * high);
    (passes(middle) ? high : low) = middle;
  }
  const double rounded = RoundUp(high);
  return passes(rounded) ? rounded : RoundUp(rounded + LastPlace(rounded));
}

// After ": ".
std::string Advice(const Fit& fit, const Event& planned) {
  std::string advice;
  if (fit.steps > 0) {
    advice = "take at most " + std::to_string(fit.steps) + " of the " +
             std::to_string(planned.steps) + " steps, ";
  }
  if (fit.noise_multiplier) {
    advice += std::string(fit.steps > 0 ? "or" : "not one step fits, take") +
              " a noise multiplier of at least " + FourDigits(*fit.noise_multiplier) +
              (planned.steps > 1 ? " for all " + std::to_string(planned.steps) + " steps" : "") +
              ", ";
  }
  if (advice.empty()) return "nothing of it fits with any noise, take other data";
  return advice + "or other data";
}

}  // namespace

Fit WhatFits(std::span<const Event> spent, const Event& planned, std::span<const double> fixed,
             const PrivacyBudget& budget) {
  // The order does not depend on the number of steps.
  const std::vector<double> orders = OrdersFor(planned, fixed, budget);
  Fit fit;
  const double used = FilterEpsilon(spent, orders, budget.delta);
  fit.epsilon_left = RoundDown(budget.epsilon - used);
  Filter ordered(spent, orders, budget);
  fit.steps = ordered.Passes(planned) ? planned.steps : MostSteps(ordered, planned);
  Filter filter(spent, fixed, budget);
  fit.noise_multiplier =
      fit.steps == planned.steps ? planned.noise_multiplier : LeastNoise(filter, planned);
  return fit;
}

base::Result<std::vector<double>> CheckBeside(std::span<const Event> spent, const Event& planned,
                                              std::span<const double> fixed,
                                              const PrivacyBudget& budget) {
  const base::Status passes = Filter(spent, fixed, budget).Check(planned);
  if (passes) return OrdersFor(planned, fixed, budget);
  const Fit fit = WhatFits(spent, planned, fixed, budget);
  return base::Fail(passes.error().code, passes.error().message + ", of which " +
                                             FourDigits(fit.epsilon_left) +
                                             " is left: " + Advice(fit, planned));
}

}  // namespace cloister::dp
