#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::dp {

// Rényi divergence of order `alpha` > 1 of one step of a Poisson-sampled Gaussian (Mironov, Talwar,
// Zhang 2019, integer and fractional orders, in log space); alpha / (2 sigma^2) at rate 1.
double RdpOfSampledGaussian(double noise_multiplier, double sampling_rate, double alpha);

// The orders that this accountant minimises over.
std::span<const double> RdpOrders();

// ε of the composition of `events` at `delta`, by the tightened conversion (Canonne, Kamath,
// Steinke 2020, Prop. 12). Each event's delta_slack is taken from `delta` first. Infinity where no
// order gives a bound; kInvalidArgument for events of different neighbour relations or a delta
// outside (0, 1).
base::Result<double> RdpEpsilon(std::span<const Event> events, double delta);

// δ of the composition at `epsilon`; slack is added. At most 1.
base::Result<double> RdpDelta(std::span<const Event> events, double epsilon);

}  // namespace cloister::dp
