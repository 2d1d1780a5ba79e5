#pragma once

#include <cstdint>
#include <vector>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// A privacy loss distribution weighted by exp(tilt · loss) and divided by its sum, as finitely many
// losses in ascending order. Tilting commutes with composition, and moves the part of the
// distribution that decides ε at a small δ into its middle: rounding errors of a Fourier transform,
// which are relative to the largest masses, are then relative to that part, however small δ is.
struct TiltedLoss {
  std::vector<double> loss;
  std::vector<double> mass;
  double stray = 0;        // at most so much more mass, at losses unknown
  double shift = 0;        // losses may be too low by at most this
  bool coarse = false;     // on a wider lattice than was asked for
  std::size_t anchor = 0;  // the loss that stands on every lattice that they are rounded to
};

// log Σ mass · exp(tilt · loss), and its first two derivatives by tilt.
struct Cumulant {
  double value = 0;
  double mean = 0;
  double variance = 0;
};
Cumulant CumulantOf(const PrivacyLoss& loss, double tilt);

// `cumulant` is that of `loss` at `tilt`. Infinity mass is left to the caller.
TiltedLoss Tilt(const PrivacyLoss& loss, double tilt, double cumulant);

// Masses at origin + index · spacing, indices ascending; the origin is the anchor.
struct LatticeLoss {
  double origin = 0;
  double spacing = 0;
  std::vector<std::int64_t> index;
  std::vector<double> mass;
  double shift = 0;  // as above, of this rounding alone
};

// Rounds losses to a lattice through the anchor, each to its two neighbours by connect-the-dots.
// The result dominates; its mass is larger by the factor that this costs in δ.
LatticeLoss OnLattice(const TiltedLoss& loss, double tilt, double spacing);
// The sum of its masses alone.
double MassOnLattice(const TiltedLoss& loss, double tilt, double spacing);

double Sum(const std::vector<double>& values);

}  // namespace cloister::dp
