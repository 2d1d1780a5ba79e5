#include "dp/accounting/bounded_loss.h"

#include <algorithm>
#include <cmath>

namespace cloister::dp {
namespace {

constexpr double kMargin = 1e-12;  // of the largest loss, over its rounding

}  // namespace

double LargestTotal(std::span<const Event> events, Direction direction) {
  long double sum = 0;  // of however many events
  for (const Event& event : events) {
    sum += static_cast<long double>(event.steps) * LargestLoss(event, direction);
  }
  return static_cast<double>(sum);
}

double LogDeltaOfBounded(double largest, double epsilon) {
  if (std::isinf(largest)) return 0;
  return std::log(-std::expm1(epsilon - largest * (1 + kMargin)));
}

double EpsilonOfBounded(double largest, double log_delta) {
  return std::max(0.0, largest * (1 + kMargin) + std::log1p(-std::exp(log_delta)));
}

ShiftedEvents ShiftLittleNoise(std::span<const Event> events, Direction direction) {
  ShiftedEvents made;
  for (const Event& event : events) {
    if (HasLittleNoise(event)) {
      made.shift += LargestTotal({&event, 1}, direction);
    } else {
      made.composed.push_back(event);
    }
  }
  return made;
}

bool HasBoundedLoss(const Event& event) {
  const std::vector<Direction> directions = DirectionsOf(event.neighbours);
  return std::all_of(directions.begin(), directions.end(), [&](Direction direction) {
    return std::isfinite(LargestLoss(event, direction));
  });
}

}  // namespace cloister::dp
