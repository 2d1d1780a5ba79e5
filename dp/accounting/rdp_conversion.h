#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::dp {

// Between a Rényi divergence of one order and (ε, δ), both by Prop. 12 of Canonne, Kamath, Steinke
// 2020 and the Bretagnolle-Huber bound on total variation. `rdp` may be infinite. For the
// accountant, which minimises over orders, and for the ledger's filter, whose orders are fixed.
double EpsilonOfRdp(double order, double rdp, double delta);
double DeltaOfRdp(double order, double rdp, double epsilon);

// The divergence of one step at each order, an upper bound in every direction of its relation.
// Sampled Gaussians by RdpOfSampledGaussian, which is the larger direction; discrete Gaussians, as
// Gaussians (Canonne, Kamath, Steinke 2020, theorem 4); Laplace from its privacy loss distribution,
// which dominates it. Valid events that are covered, only.
std::vector<double> RdpOfStep(const Event& event, std::span<const double> orders);

// Sum over the events of steps times the divergence of a step, at each order. Likewise.
std::vector<double> ComposedRdp(std::span<const Event> events, std::span<const double> orders);

// kUnimplemented for what RdpOfStep has no bound for: replace-one of a sampled Gaussian or discrete
// Gaussian, and a sampled discrete Gaussian. Zero-out is bounded as adding and removing a unit are:
// a unit whose contribution is empty leaves the sum as if it were absent, sampled or not, so that
// the pair of output laws is the same.
base::Status CheckRdpCovers(const Event& event);

// kUnimplemented for a relation for which some sampled Gaussian is not covered.
base::Status CheckRdpCovers(Neighbours relation);

}  // namespace cloister::dp
