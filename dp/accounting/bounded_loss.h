#pragma once

#include <span>
#include <vector>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// What is known of a composition from the largest losses of its steps alone. A unit that was added
// to a sample has bounded losses at any noise: at most -log(1 - rate) a step, which it nearly
// always is where noise is little.

// What bounds every loss of a composition in one direction; infinity where nothing does.
double LargestTotal(std::span<const Event> events, Direction direction);

// Where no loss is above `largest`, δ(ε) = E[(1 - e^(ε - loss))₊] is at most 1 - e^(ε - largest):
// log δ at an ε that is at most `largest`, and the ε at exp(log_delta). Rounded up.
double LogDeltaOfBounded(double largest, double epsilon);
double EpsilonOfBounded(double largest, double log_delta);

// A composition in two: events whose losses have to be composed, and those of less noise than that
// is possible for (HasLittleNoise), of which each loss counts as the largest. A pair of laws whose
// loss is always `shift` dominates these: P at one outcome, where Q has exp(-shift).
struct ShiftedEvents {
  std::vector<Event> composed;
  double shift = 0;
};
ShiftedEvents ShiftLittleNoise(std::span<const Event> events, Direction direction);

// Whether the event may be shifted so, in every direction of its relation.
bool HasBoundedLoss(const Event& event);

}  // namespace cloister::dp
