#include "dp/accounting/gaussian_profile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMargin = 1e-11;  // relative, over all rounding

// The Mills ratio P(Z > x) / φ(x) for x >= 0 by Laplace's continued fraction, or by erfc where
// that is accurate.
double Mills(double x) {
  if (x < 5) {
    return std::sqrt(std::numbers::pi / 2) * std::exp(x * x / 2) *
           std::erfc(x / std::numbers::sqrt2);
  }
  double fraction = x;
  for (int k = 60; k >= 1; --k) fraction = x + k / fraction;
  return 1 / fraction;
}

double LogDensity(double x) { return -x * x / 2 - 0.5 * std::log(2 * std::numbers::pi); }

// 1 - t Mills(t), how fast Mills falls. It cancels for large t: there it is 1/t² - 3/t⁴ + …, from
// the fraction.
double MillsFall(double t) {
  if (t < 3) return 1 - t * Mills(t);
  double fraction = t;
  for (int k = 100; k >= 2; --k) fraction = t + k / fraction;
  return 1 / (t * fraction + 1);
}

// Mills(x) - Mills(y), 0 <= x < y; where they are close, by the integral of the fall, by
// Gauss-Legendre on short pieces.
double MillsDifference(double x, double y) {
  if (y - x > 0.5) return Mills(x) - Mills(y);
  constexpr double kNodes[] = {-0.8611363115940526, -0.3399810435848563, 0.3399810435848563,
                               0.8611363115940526};
  constexpr double kWeights[] = {0.34785484513745385, 0.6521451548625461, 0.6521451548625461,
                                 0.34785484513745385};
  const int pieces = 1 + static_cast<int>((y - x) / 0.05);
  const double half = (y - x) / pieces / 2;
  double sum = 0;
  for (int piece = 0; piece < pieces; ++piece) {
    const double center = x + (2 * piece + 1) * half;
    for (int k = 0; k < 4; ++k) sum += kWeights[k] * MillsFall(center + kNodes[k] * half);
  }
  return sum * half;
}

}  // namespace

double NormalUpperTail(double x) { return 0.5 * std::erfc(x / std::numbers::sqrt2); }

double LogNormalUpperTail(double x) {
  return x < 5 ? std::log(NormalUpperTail(x)) : LogDensity(x) + std::log(Mills(x));
}

double NormalUpperQuantile(double tail) {
  // All kinds of a composition ask for the same one.
  struct Known {
    double tail = 0;
    double quantile = 0;
  };
  thread_local Known last;
  if (tail == last.tail) return last.quantile;
  double low = 0;
  double high = 40;
  const double target = std::log(tail);
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (LogNormalUpperTail(middle) <= target ? high : low) = middle;
  }
  last = {tail, high};
  return high;
}

double LogDeltaOfGaussian(double mu, double epsilon) {
  // δ = φ(a) (M(a) - M(b)) with a = ε/μ - μ/2 and b = ε/μ + μ/2, as e^ε φ(b) = φ(a).
  const double a = epsilon / mu - mu / 2;
  const double b = a + mu;
  double log_delta = 0;
  if (a >= 0) {
    log_delta = LogDensity(a) + std::log(MillsDifference(a, b));
  } else {
    // Two terms, the second at most the first times e^ε; close to each other only where b is small.
    const double first = NormalUpperTail(a);
    const double second = std::exp(LogDensity(a)) * Mills(std::max(b, 0.0));
    const double difference = b < 1 ? -std::erf(a / std::numbers::sqrt2) / 2 +
                                          std::erf(b / std::numbers::sqrt2) / 2 -
                                          std::expm1(epsilon) * NormalUpperTail(b)
                                    : first - second;
    log_delta = std::log(difference);
  }
  const double rounding = kMargin + 1e-15 * (std::abs(a) * std::abs(epsilon / mu) + a * a);
  return std::min(0.0, log_delta + rounding);
}

double EpsilonOfGaussian(double mu, double log_delta) {
  if (LogDeltaOfGaussian(mu, 0) <= log_delta) return 0;
  double low = 0;
  double high = 1;
  while (LogDeltaOfGaussian(mu, high) > log_delta) {
    low = high;
    high *= 2;
    if (high > 1e300) return kInfinity;
  }
  for (int i = 0; i < 200 && high - low > 1e-15 * high; ++i) {
    const double middle = low + (high - low) / 2;
    (LogDeltaOfGaussian(mu, middle) <= log_delta ? high : low) = middle;
  }
  return high;
}

// (1 - q) f + q f' exceeds e^ε f by q (f' - e^ε' f), e^ε' = 1 + (e^ε - 1) / q.
double LogDeltaOfOneSampled(double mu, double rate, double epsilon) {
  const double inner = epsilon < 30
                           ? std::log1p(std::expm1(epsilon) / rate)
                           : epsilon - std::log(rate) + std::log1p((rate - 1) * std::exp(-epsilon));
  const double log_delta = LogDeltaOfGaussian(mu, std::max(0.0, inner * (1 - kMargin)));
  return std::min(0.0, std::log(rate) + log_delta + kMargin);
}

double EpsilonOfOneSampled(double mu, double rate, double log_delta) {
  const double log_rate = std::log(rate);
  if (log_delta >= log_rate) return 0;
  const double inner = EpsilonOfGaussian(mu, log_delta - log_rate - kMargin);
  const double epsilon = inner < 30
                             ? std::log1p(rate * std::expm1(inner))
                             : inner + log_rate + std::log1p((1 - rate) / rate * std::exp(-inner));
  // What is returned keeps δ by the function above, roundings of either and all.
  double raised = std::max(0.0, epsilon);
  for (double part = kMargin; LogDeltaOfOneSampled(mu, rate, raised) > log_delta; part *= 2) {
    raised = epsilon * (1 + part) + std::numeric_limits<double>::denorm_min();
  }
  return raised;
}

}  // namespace cloister::dp
