#pragma once

#include <array>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// P and Q as densities over that of the noise, f: P / f = 1 + q (r - 1), where r is f shifted by a
// unit's contribution over f, or 1 where the unit is absent (a rate of 0); Q / f likewise.
struct Mixture {
  double upper_rate = 0;
  double lower_rate = 0;
};

Mixture MixtureOf(double sampling_rate, Direction direction);

// log(1 + rate (exp(log_ratio) - 1)), without overflow or cancellation.
double LogMix(double rate, double log_ratio);

// An interval of outcomes where log f is quadratic and both log-ratios are linear in t, the
// distance from its left end.
struct Cell {
  double width = 0;
  double log_density = 0;  // of f at the left end; log f(t) = log_density - decay t - bend t²
  double decay = 0;
  double bend = 0;
  double log_upper = 0;  // of P's ratio at the left end, and its slope
  double upper_slope = 0;
  double log_lower = 0;  // of Q's
  double lower_slope = 0;
};

// The masses that connect-the-dots gives the ends of `cell`: those that keep its probability under
// P and Q.
std::array<double, 2> ConnectDots(const Cell& cell, const Mixture& mixture);

}  // namespace cloister::dp
