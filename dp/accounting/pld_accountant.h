#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::dp {

// Privacy loss distributions: ε of a composition at `delta`, and δ at `epsilon`, tight and never
// below the true value (docs/design/0008-accounting.md); at a δ below 1e-12 some percent less
// tight, but in order: more steps or sampling, less noise or δ never make ε smaller. Each event's
// delta_slack s is charged as (1 + e^ε) s. All events must have the same neighbour relation; the
// larger of its directions counts. Infinity, or a δ of 1, where nothing better can be shown.
// kInvalidArgument for what is no event, delta in (0, 1) or finite epsilon >= 0; kUnimplemented for
// an event without a step loss (privacy_loss.h) or more than 200 kinds of them, unless all are
// unsampled Gaussians or one sampled Gaussian release, whose exact profile is known, or no loss
// passes delta. Without state: any thread. A few milliseconds and megabytes, up to 10^12 steps.
base::Result<double> PldEpsilon(std::span<const Event> events, double delta);
base::Result<double> PldDelta(std::span<const Event> events, double epsilon);

// The whole profile: δ at each of `epsilons`.
base::Result<std::vector<double>> PldProfile(std::span<const Event> events,
                                             std::span<const double> epsilons);

// The same as PldEpsilon and PldDelta, telling whether another accountant may know better.
struct PldBound {
  double value = 0;
  // Beyond 10^7 steps, where lattices would be too long, and at a δ of 1e-30, the least that is
  // looked for.
  bool loose = false;
  // A bound by moments, of a δ below 1e-12 (capped_moments.h).
  bool by_moments = false;
};
base::Result<PldBound> PldEpsilonBound(std::span<const Event> events, double delta);
base::Result<PldBound> PldDeltaBound(std::span<const Event> events, double epsilon);

}  // namespace cloister::dp
