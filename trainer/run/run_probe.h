#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "dp/audit/canary_set.h"
#include "trainer/run/privacy_plan.h"

namespace cloister::trainer {

// Takes part in a private run from within: with units of its own, which are drawn, clipped, summed
// and noised as records are, and with a look at each step's release. For audits.
class RunProbe {
 public:
  virtual ~RunProbe() = default;
  // Before the first step; an error ends the run.
  virtual base::Status Start(const PrivacyPlan& plan, std::int64_t parameters) = 0;
  // The units that take part, the same until the run ends. In a fixed order each stands in the slot
  // of its coordinate, modulo their number.
  virtual std::span<const dp::audit::Canary> units() const = 0;
  // A step's release: the noised sum, in which a unit is at most the plan's clip norm.
  virtual void Released(std::span<const double> sum) = 0;
};

}  // namespace cloister::trainer
