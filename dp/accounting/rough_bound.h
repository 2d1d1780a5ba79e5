#pragma once

#include <span>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// Upper bounds from the Rényi divergence of one order of a composition's losses, which the saddle
// point method chooses: quick, a few nats of δ too high, and there where no lattice is. Of events
// of one relation, each valid and with a step loss, in one direction.

// Of log δ at ε. Tails of a millionth of exp(least) are cut off and added: it is as good as it can
// be where it is above `least`.
double RoughLogDelta(std::span<const Event> events, Direction direction, double epsilon,
                     double least);

// Of the ε at exp(log_delta). Infinity where tails alone are more.
double RoughEpsilon(std::span<const Event> events, Direction direction, double log_delta);

}  // namespace cloister::dp
