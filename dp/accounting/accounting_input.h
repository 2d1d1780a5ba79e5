#pragma once

#include <span>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::dp {

// What every accountant is given. kInvalidArgument, saying what would be right.
base::Status ValidateDelta(double delta);                    // in (0, 1)
base::Status ValidateEpsilon(double epsilon);                // finite, not negative
base::Status ValidateEvents(std::span<const Event> events);  // each valid, all of one relation

// Σ delta_slack. Runs whose laws are each within total variation s of laws that are (ε, d)-
// indistinguishable are (ε, d + (1 + e^ε) s)-indistinguishable: both laws move by s.
double TotalSlack(std::span<const Event> events);

}  // namespace cloister::dp
