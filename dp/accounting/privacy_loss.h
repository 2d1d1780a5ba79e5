#pragma once

#include <vector>

#include "dp/mechanism/event.h"

namespace cloister::dp {

// Which pair of output laws (P, Q) is compared: the unit is in the first data set alone, in the
// second alone, or is another one in each. add-or-remove-one is the larger of the first two.
enum class Direction { kRemove, kAdd, kReplace };

// The directions whose largest divergence is that of `relation`. Zero-out has those of
// add-or-remove-one: a unit whose contribution is empty leaves the sum as if it were absent.
std::vector<Direction> DirectionsOf(Neighbours relation);

// A privacy loss distribution of finitely many losses: `mass[i]` of P's probability lies where
// log(P/Q) is `loss[i]`, in ascending order, and `infinity_mass` where Q has none. Every one made
// here dominates its mechanism's: no hockey-stick divergence of the mechanism is above its own.
struct PrivacyLoss {
  std::vector<double> loss;
  std::vector<double> mass;
  double infinity_mass = 0;
};

// Nodes stand `cell` apart, in standard deviations of a Gaussian and in scales of a Laplace noise;
// less where accuracy needs it. A tail of at most `tail` may become infinity mass.
struct Resolution {
  double cell = 0.1;
  double tail = 1e-16;
};

// The part of itself by which the sum of a step's masses may be off by quadrature.
inline constexpr double kQuadratureError = 2e-13;

// The loss of one step of a valid event. Noise and shift may be reflected, so that losses rise.
//
// Connect-the-dots (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022): the outcomes between two
// nodes are replaced by the nodes themselves, with the masses that leave the cell's probability
// unchanged under both P and Q. Merging them again is post-processing, so the new pair dominates.
// Masses are integrals of positive functions by Gauss-Legendre quadrature; no two figures that
// are nearly equal are subtracted, so that rates of 1e-7 keep their digits.
PrivacyLoss StepLoss(const Event& event, Direction direction, const Resolution& resolution);

// No loss of a step is above this; infinity where losses are unbounded.
double LargestLoss(const Event& event, Direction direction);

// Whether StepLoss can be had in reasonable time and memory: for Gaussian and discrete Gaussian
// noise of at least 0.02 times the sensitivity, the latter with a sigma of at most 10,000, and for
// any Laplace.
bool HasStepLoss(const Event& event);
// Whether it cannot be had because the noise is less than that.
bool HasLittleNoise(const Event& event);

}  // namespace cloister::dp
