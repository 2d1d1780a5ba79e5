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

// The weight that a count of units needs so that its noise has `count_noise_multiplier` times its
// own sensitivity (1/2) in a Gaussian mechanism of `noise_multiplier` times `clip_norm` on the sum.
// Both together are one Gaussian of multiplier JointNoiseMultiplier().
double CountWeight(double clip_norm, double noise_multiplier, double count_noise_multiplier);
// (Σ σᵢ⁻²)^(−½): of releases from one draw, which are one event.
double JointNoiseMultiplier(double noise_multiplier, double count_noise_multiplier);

}  // namespace cloister::dp::clipping
