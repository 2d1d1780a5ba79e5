#pragma once

#include <cstddef>
#include <optional>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// A step in two: `near`, of all small losses, and `far`, an atom at 0 and rare large losses. One of
// each, composed, dominate the step: they tell whether its outcome is near, which of the far ones
// it is, and, whether it is or not, an outcome that has the law of the near ones. So near losses
// are composed on a fine and narrow lattice, far ones on a coarse and wide one.
struct SplitLoss {
  PrivacyLoss near;
  PrivacyLoss far;
  std::size_t atom = 0;  // of `far`
};

// Nothing where `step`, of so many in the composition, gains nothing by it at `tilt`.
std::optional<SplitLoss> Split(const PrivacyLoss& step, double steps, double tilt);

}  // namespace cloister::dp
