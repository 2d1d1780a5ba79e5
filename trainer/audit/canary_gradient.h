#pragma once

#include <span>

#include "dp/audit/canary_set.h"
#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/parameter_shape.h"

namespace cloister::trainer {

// Tells `observer` of a canary's gradient as a backward pass over one token would: as the outer
// product of two vectors, whatever the parameter. `shapes` as the observer's; a CHECK fails where
// the canary's coordinate is in none. The unit is left open.
void ObserveCanary(const dp::audit::Canary& canary,
                   std::span<const dp::clipping::ParameterShape> shapes,
                   dp::clipping::GradientObserver& observer);

}  // namespace cloister::trainer
