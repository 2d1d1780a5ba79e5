#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace cloister::dp::clipping {

// How a unit's gradient g becomes one of bounded norm.
//   kFlat       g * min(1, C / ‖g‖)                                          (Abadi et al. 2016)
//   kAutomatic  g * C / (‖g‖ + stability)                          (AUTO-S, Bu et al. 2022)
//   kPerGroup   each group of parameters alone, flat, by a norm of its own: together at most the
//               root of the sum of their squares        (McMahan et al. 2018, "per-layer")
// With an upper bound in the place of ‖g‖ what remains is no longer than the rule says.
struct ClipRule {
  enum class Style { kFlat, kAutomatic, kPerGroup };

  Style style = Style::kFlat;
  std::vector<double> clip_norms;  // one; with kPerGroup one a group
  double stability = 0;            // kAutomatic: above 0

  // kInvalidArgument naming what is missing, not positive or not finite. `groups` of parameters.
  base::Status Validate(std::int64_t groups) const;
  // The L2 norm that no unit passes.
  double Sensitivity() const;
  // What each group's gradient is multiplied by, for upper bounds of the groups' norms; all zero
  // where one is not finite.
  std::vector<double> Factors(std::span<const double> norms) const;
};

}  // namespace cloister::dp::clipping
