#include "dp/audit/one_run_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace cloister::dp::audit {
namespace {

constexpr std::int64_t kMostCanaries = std::int64_t{1} << 24;
// With this ε even 2^24 guesses are all correct but for a probability of 1e-20.
constexpr double kLargestEpsilon = 64;
constexpr double kTolerance = 1e-9;

base::Status Check(const Guesses& seen, double delta) {
  if (!(seen.correct >= 0 && seen.correct <= seen.guesses && seen.guesses <= seen.canaries &&
        seen.canaries <= kMostCanaries)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "audit: give 0 <= correct <= guesses <= canaries <= 2^24");
  }
  if (!(delta >= 0 && delta <= 1)) {
    return base::Fail(base::Code::kInvalidArgument, "audit: give a delta from 0 to 1");
  }
  return {};
}

// P[W = first + j] for W binomial, where that is above the smallest normal number or so.
struct Binomial {
  std::int64_t first = 0;
  std::vector<double> probability;
  std::int64_t last() const { return first + static_cast<std::int64_t>(probability.size()) - 1; }
};

// Of `trials` trials whose failures' odds are `odds` = e^-ε <= 1. Ratios of neighbours outwards
// from the mode, then normalised: positive terms alone, no logarithm of a factorial, and neither 1
// - p nor a power that could be rounded away.
Binomial BinomialOf(std::int64_t trials, double odds) {
  const auto n = static_cast<double>(trials);
  const std::int64_t mode =
      std::min(trials, static_cast<std::int64_t>(std::floor((n + 1) / (1 + odds))));
  std::vector<double> below;  // from the mode down
  double weight = 1;
  for (std::int64_t k = mode; k > 0; --k) {
    const auto x = static_cast<double>(k);
    weight *= x / (n - x + 1) * odds;
    if (weight < std::numeric_limits<double>::min()) break;
    below.push_back(weight);
  }
  Binomial result{mode - static_cast<std::int64_t>(below.size()), {below.rbegin(), below.rend()}};
  result.probability.push_back(1);
  weight = 1;
  for (std::int64_t k = mode; k < trials; ++k) {
    const auto x = static_cast<double>(k);
    weight *= (n - x) / (x + 1) / odds;
    if (weight < std::numeric_limits<double>::min()) break;
    result.probability.push_back(weight);
  }
  const double sum = std::accumulate(result.probability.begin(), result.probability.end(), 0.0);
  for (double& value : result.probability) value /= sum;
  return result;
}

double PValueOf(const Guesses& seen, double epsilon, double delta) {
  const Binomial w = BinomialOf(seen.guesses, std::exp(-epsilon));
  const auto at = [&w](std::int64_t k) {
    return w.probability[static_cast<std::size_t>(k - w.first)];
  };
  double tail = 0;  // P[W >= v], smallest terms first
  for (std::int64_t k = w.last(); k >= std::max(seen.correct, w.first); --k) tail += at(k);
  double steepest = 0;  // max over i of P[v > W >= v - i] / i
  double sum = 0;
  // Below w.first the sum stays and i grows.
  for (std::int64_t k = std::min(seen.correct - 1, w.last()); k >= w.first; --k) {
    sum += at(k);
    steepest = std::max(steepest, sum / static_cast<double>(seen.correct - k));
  }
  return std::min(1.0, tail + 2 * static_cast<double>(seen.canaries) * delta * steepest);
}

}  // namespace

base::Result<double> PValue(const Guesses& seen, double epsilon, double delta) {
  CLOISTER_RETURN_IF_ERROR(Check(seen, delta));
  if (!(epsilon >= 0)) {
    return base::Fail(base::Code::kInvalidArgument, "audit: give an epsilon of 0 or more");
  }
  return PValueOf(seen, epsilon, delta);
}

base::Result<double> EpsilonLowerBound(const Guesses& seen, double delta, double confidence) {
  CLOISTER_RETURN_IF_ERROR(Check(seen, delta));
  if (!(confidence > 0 && confidence < 1)) {
    return base::Fail(base::Code::kInvalidArgument, "audit: give a confidence between 0 and 1");
  }
  const double most = 1 - confidence;
  if (PValueOf(seen, 0, delta) > most) return 0.0;
  // Every `low` is refuted, and with it whatever lies below: who keeps a lower ε keeps this one. So
  // the answer holds whether or not the p-value's δ part is monotone.
  double low = 0;
  double high = kLargestEpsilon;
  while (high - low > kTolerance) {
    const double middle = (low + high) / 2;
    (PValueOf(seen, middle, delta) <= most ? low : high) = middle;
  }
  return low;
}

}  // namespace cloister::dp::audit
