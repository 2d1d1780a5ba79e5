#pragma once

#include <limits>
#include <span>
#include <vector>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// Losses of a step so large that one of them alone decides: all above `cap` are taken out of the
// step, and what they add to δ is known in closed form. Rare large losses are heavy-tailed, and
// would take all the mass under any tilt.
//
// The composition's outcomes in which some step's loss is above the cap are at most those in which
// the first is, the second is, and so on (the union bound). With a loss b there and R of all other
// steps, E[(1 - e^{ε-b-R})₊] <= 1 - e^{ε-b} (E[e^{-R}] - E[(e^{-R} - e^{b-ε})₊]), and `doubt`
// bounds by how much that bracket may be below 1 while ε is at most `until`.
class LargeLosses {
 public:
  LargeLosses() = default;

  // Takes losses out of `steps`, of which there are `counts`, in place, where that raises δ at ε by
  // `most` or less: those above a cap that is beyond ε by the larger of ε and `reach`, or by some
  // times that.
  LargeLosses(std::span<const double> counts, std::span<PrivacyLoss> steps, double epsilon,
              double reach, double most);

  // What they add to δ(ε), an upper bound.
  double At(double epsilon) const;
  double Until() const { return until_; }
  double Cap() const { return cap_; }

 private:
  double gain_ = 0;  // Σ steps · mass · (1 - e^{-b})
  double fall_ = 0;  // Σ steps · mass · e^{-b}
  double doubt_ = 0;
  double until_ = std::numeric_limits<double>::infinity();
  double cap_ = std::numeric_limits<double>::infinity();
};

}  // namespace cloister::dp
