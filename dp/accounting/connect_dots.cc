#include "dp/accounting/connect_dots.h"

#include <cmath>

namespace cloister::dp {
namespace {

// Gauss-Legendre on [0, 1], exact for polynomials of degree 7.
constexpr std::array<double, 4> kNodes = {0.069431844202973712, 0.33000947820757187,
                                          0.66999052179242813, 0.93056815579702629};
constexpr std::array<double, 4> kWeights = {0.17392742256872693, 0.32607257743127307,
                                            0.32607257743127307, 0.17392742256872693};

// How much log(1 + rate (r - 1)) rises while log r rises by `rise` from log_ratio. `share` is the
// part of the mixture that moves, rate r / (1 + rate (r - 1)).
double Rise(double share, double rise) {
  if (share == 1) return rise;
  if (rise > 600) return rise + std::log(share);
  return std::log1p(share * std::expm1(rise));
}

double Share(double rate, double log_ratio) {
  if (rate == 0 || rate == 1) return rate;
  return std::exp(std::log(rate) + log_ratio - LogMix(rate, log_ratio));
}

}  // namespace

Mixture MixtureOf(double sampling_rate, Direction direction) {
  return {direction == Direction::kAdd ? 0 : sampling_rate,
          direction == Direction::kRemove ? 0 : sampling_rate};
}

double LogMix(double rate, double log_ratio) {
  if (rate == 0) return 0;
  if (rate == 1) return log_ratio;
  if (log_ratio > 30) return log_ratio + std::log(rate + (1 - rate) * std::exp(-log_ratio));
  const double change = rate * std::expm1(log_ratio);
  if (change > -0.5) return std::log1p(change);
  return std::log((1 - rate) + rate * std::exp(log_ratio));
}

std::array<double, 2> ConnectDots(const Cell& cell, const Mixture& mixture) {
  const double upper_share = Share(mixture.upper_rate, cell.log_upper);
  const double lower_share = Share(mixture.lower_rate, cell.log_lower);
  const auto upper = [&](double t) {
    return upper_share == 0 ? 0 : Rise(upper_share, cell.upper_slope * t);
  };
  const auto lower = [&](double t) {
    return lower_share == 0 ? 0 : Rise(lower_share, cell.lower_slope * t);
  };
  const double log_p = cell.log_density + LogMix(mixture.upper_rate, cell.log_upper);
  const double whole = upper(cell.width) - lower(cell.width);
  const double scale = std::expm1(-whole);
  double mass = 0;
  double right = 0;
  for (std::size_t k = 0; k < kNodes.size(); ++k) {
    const double t = kNodes[k] * cell.width;
    const double rise = upper(t);
    const double loss = rise - lower(t);
    const double p = kWeights[k] * std::exp(log_p + rise - (cell.decay + cell.bend * t) * t);
    mass += p;
    // Of a point between losses a and b the right end takes (1 - e^(a-l)) / (1 - e^(a-b)).
    right += whole > 0 ? p * (std::expm1(-loss) / scale) : p;
  }
  return {(mass - right) * cell.width, right * cell.width};
}

}  // namespace cloister::dp
