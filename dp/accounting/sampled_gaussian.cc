#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "base/check.h"
#include "dp/accounting/rdp_accountant.h"

// The Rényi divergence of order α of a Poisson-sampled Gaussian is log(A) / (α - 1) with
//   A = E over z ~ N(0, σ²) of (1 + x)^α,   x = q (r - 1),   r = exp((2z - 1) / (2σ²)),
// and the other direction's is never larger (Mironov, Talwar, Zhang 2019, section 3.1). For a rate
// of 1e-7 A is 1 + 1e-14, and log(A) computed from A would be rounding noise, multiplied by ten
// million steps. So both ways below compute A - 1 as a sum of terms that are all positive, in log
// space.
namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What is returned is raised by this, far above all rounding here: never below the true value.
constexpr double kRoundingMargin = 1e-11;
constexpr double kLargestExponent = 600;  // exp stays finite, with room for a factor
constexpr double kMostPoints = 1e6;

double LogSum(const std::vector<double>& logs) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  if (std::isinf(largest)) return largest;
  double sum = 0;
  for (const double value : logs) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

// log(1 + exp(x)).
double Softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

// log(exp(x) - 1), x > 0.
double LogExpm1(double x) {
  return x > 1 ? x + std::log1p(-std::exp(-x)) : std::log(std::expm1(x));
}

// log(A - 1) for a whole order: A's binomial expansion (section 3.3) less that of
// (1 - q + q)^α = 1, whose terms 0 and 1 are the same as A's.
double LogExcessOfWholeOrder(double sigma, double rate, std::int64_t alpha) {
  const double log_rate = std::log(rate);
  const double log_rest = std::log1p(-rate);
  const auto order = static_cast<double>(alpha);
  std::vector<double> logs;
  logs.reserve(static_cast<std::size_t>(alpha));
  double log_binomial = std::log(order);  // of α over 1
  for (std::int64_t i = 2; i <= alpha; ++i) {
    const auto k = static_cast<double>(i);
    log_binomial += std::log((order - k + 1) / k);
    logs.push_back(log_binomial + k * log_rate + (order - k) * log_rest +
                   LogExpm1((k * k - k) / (2 * sigma * sigma)));
  }
  return LogSum(logs);
}

// log((1 + x)^α - 1 - αx) for x = q (exp(e) - 1): not negative, by Bernoulli's inequality, and with
// the expectation of (1 + x)^α - 1, since x has expectation 0.
double LogConvexExcess(double alpha, double rate, double e) {
  if (e > kLargestExponent) {
    const double log_x = std::log(rate) + e;
    const double power = alpha * log_x;
    return power + std::log1p(-std::exp(std::log(alpha) + log_x - power));
  }
  const double x = rate * std::expm1(e);
  if (std::abs(x) * std::max(alpha, 1.0) < 0.02) {
    // Binomial series from its square term on; what follows the last is under 1e-15 of the sum.
    double sum = 0;
    double term = 1;
    for (int k = 3; k <= 12; ++k) {
      sum += term;
      term *= (alpha - k + 1) / k * x;
    }
    if (x == 0) return -kInfinity;
    return std::log(alpha * (alpha - 1) / 2 * sum) + 2 * std::log(std::abs(x));
  }
  const double power = alpha * std::log1p(x);
  if (power > kLargestExponent) {
    return power + std::log1p(-std::exp(std::log1p(alpha * x) - power));
  }
  const double excess = std::expm1(power) - alpha * x;
  return excess > 0 ? std::log(excess) : -kInfinity;
}

// log(A - 1) for any order by the trapezoid rule in u = z / σ. The integrand is analytic for
// |Im u| < πσ (where 1 + x first vanishes) and falls like a Gaussian, so that the rule's error is
// about exp(-2π · πσ / h): under 1e-20 of A - 1 for h <= 0.4σ, and the ranges cut off, 13 standard
// deviations beyond the outermost of the Gaussians at 0 and α/σ, under 1e-36.
double LogExcessByQuadrature(double sigma, double rate, double alpha) {
  constexpr double kReach = 13;
  const double step = std::min(0.25, 0.4 * sigma);
  const double length = alpha / sigma + 2 * kReach;
  const auto points = static_cast<std::int64_t>(std::ceil(length / step));
  const double log_weight = std::log(step) - 0.5 * std::log(2 * std::numbers::pi);
  std::vector<double> logs;
  logs.reserve(static_cast<std::size_t>(points) + 1);
  for (std::int64_t i = 0; i <= points; ++i) {
    const double u = -kReach + static_cast<double>(i) * step;
    const double e = (2 * u * sigma - 1) / (2 * sigma * sigma);
    logs.push_back(log_weight - u * u / 2 + LogConvexExcess(alpha, rate, e));
  }
  return LogSum(logs);
}

double LogMoment(double sigma, double rate, double alpha) {
  const double below = std::floor(alpha);
  if (alpha == below) {
    if (alpha == 1) return 0;
    return Softplus(LogExcessOfWholeOrder(sigma, rate, static_cast<std::int64_t>(alpha)));
  }
  if ((alpha / sigma + 26) / std::min(0.25, 0.4 * sigma) <= kMostPoints && sigma >= 0.1) {
    return Softplus(LogExcessByQuadrature(sigma, rate, alpha));
  }
  // Too many points. log A is convex in α: the chord between whole orders lies above it.
  const double part = alpha - below;
  return (1 - part) * LogMoment(sigma, rate, below) + part * LogMoment(sigma, rate, below + 1);
}

}  // namespace

double RdpOfSampledGaussian(double noise_multiplier, double sampling_rate, double alpha) {
  CLOISTER_CHECK(noise_multiplier > 0 && sampling_rate >= 0 && sampling_rate <= 1);
  CLOISTER_CHECK(alpha > 1 && alpha <= 1e6);
  if (sampling_rate == 0) return 0;
  const double unsampled =
      alpha / (2 * noise_multiplier * noise_multiplier) * (1 + kRoundingMargin);
  if (sampling_rate == 1 || std::isinf(unsampled)) return unsampled;
  const double log_moment = LogMoment(noise_multiplier, sampling_rate, alpha);
  CLOISTER_CHECK(!std::isnan(log_moment));
  // Sampling never costs privacy, so that the unsampled value bounds what rounding could exceed.
  return std::min(unsampled, log_moment / (alpha - 1) * (1 + kRoundingMargin));
}

}  // namespace cloister::dp
