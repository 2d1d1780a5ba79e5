#pragma once

#include <array>
#include <cstddef>

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

// The left end of an interval of outcomes where log f is quadratic in t, the distance from there.
struct Cell {
  double log_density = 0;  // of f; log f(t) = log_density - decay t - bend t²
  double decay = 0;
  double bend = 0;
  double log_upper = 0;      // of P's ratio of f shifted to f
  double log_upper_mix = 0;  // LogMix of it
  double log_lower = 0;      // of Q's
  double log_lower_mix = 0;
};

// Connects the dots of cells that have the same width, and in which both log-ratios are linear with
// the same slopes, of at most a few units over a cell.
class DotConnector {
 public:
  DotConnector(double width, double upper_slope, double lower_slope, const Mixture& mixture);

  // The masses that connect-the-dots gives the ends of `cell`: those that keep its probability
  // under P and Q.
  std::array<double, 2> Connect(const Cell& cell) const;

 private:
  static constexpr std::size_t kNodes = 4;

  double width_ = 0;
  Mixture mixture_;
  // By how much the ratios, less 1 and over those at the left end, rise to each node, and to the
  // right end.
  std::array<double, kNodes + 1> upper_;
  std::array<double, kNodes + 1> lower_;
};

}  // namespace cloister::dp
