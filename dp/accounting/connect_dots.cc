#include "dp/accounting/connect_dots.h"

#include <cmath>

namespace cloister::dp {
namespace {

// Gauss-Legendre on [0, 1], exact for polynomials of degree 7.
constexpr std::array<double, 4> kPlaces = {0.069431844202973712, 0.33000947820757187,
                                           0.66999052179242813, 0.93056815579702629};
constexpr std::array<double, 4> kWeights = {0.17392742256872693, 0.32607257743127307,
                                            0.32607257743127307, 0.17392742256872693};

// The part of a mixture 1 + rate (r - 1) that moves with r.
double Share(double rate, double log_ratio, double log_mix) {
  if (rate == 0 || rate == 1) return rate;
  return rate * std::exp(log_ratio - log_mix);
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

DotConnector::DotConnector(double width, double upper_slope, double lower_slope,
                           const Mixture& mixture)
    : width_(width), mixture_(mixture) {
  for (std::size_t k = 0; k <= kNodes; ++k) {
    const double t = width * (k < kNodes ? kPlaces[k] : 1);
    upper_[k] = std::expm1(upper_slope * t);
    lower_[k] = std::expm1(lower_slope * t);
  }
}

std::array<double, 2> DotConnector::Connect(const Cell& cell) const {
  const double upper_share = Share(mixture_.upper_rate, cell.log_upper, cell.log_upper_mix);
  const double lower_share = Share(mixture_.lower_rate, cell.log_lower, cell.log_lower_mix);
  // From the left end P's density rises by 1 + upper, Q's by 1 + lower, beside f's own. Of a point
  // between losses a and b the right end takes (1 - e^(a-l)) / (1 - e^(a-b)), where 1 - e^(a-l) is
  // (upper - lower) / (1 + upper): no loss is taken from another.
  const double whole = upper_share * upper_[kNodes] - lower_share * lower_[kNodes];
  const double whole_rise = 1 + upper_share * upper_[kNodes];
  const double log_p = cell.log_density + cell.log_upper_mix;
  double mass = 0;
  double right = 0;
  for (std::size_t k = 0; k < kNodes; ++k) {
    const double t = kPlaces[k] * width_;
    const double upper = upper_share * upper_[k];
    const double density = kWeights[k] * std::exp(log_p - (cell.decay + cell.bend * t) * t);
    mass += density * (1 + upper);
    // The quotient first: both may be so small that 1 / whole is infinite.
    right += whole > 0 ? density * ((upper - lower_share * lower_[k]) / whole * whole_rise)
                       : density * (1 + upper);
  }
  return {(mass - right) * width_, right * width_};
}

}  // namespace cloister::dp
