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

// Sum over the events of steps times the divergence of a step, at each order. Valid events only.
std::vector<double> ComposedRdp(std::span<const Event> events, std::span<const double> orders);

// kUnimplemented for a relation that the sampled Gaussian's divergence does not bound. It bounds
// adding and removing a unit (it is the larger of the two directions) and zero-out: a unit whose
// contribution is empty leaves the sum as if it were absent, sampled or not, so that the pair of
// output laws is the same.
base::Status CheckRdpCovers(Neighbours relation);

}  // namespace cloister::dp
