#pragma once

// What every Gaussian mechanism asks of a clipped sum on a lattice (docs/design, lattice noise,
// section 1).

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "dp/mechanism/clipped_sum.h"
#include "dp/mechanism/privacy_types.h"

namespace cloister::dp {

struct LatticeRounding {
  std::string_view mechanism;  // as error messages name it
  double clip_norm = 0;
  std::int64_t dimension = 0;
  double spacing = 0;
  Neighbours neighbours{};
};

// Of the clip norm, the spacing where nothing asks for a coarser one: noise of any multiplier above
// 2^-18 has 64 spacings, and the rounding of thousands of units is not seen beside it.
inline constexpr double kFineSpacing = 0x1p-24;

// Over the clip norm; a lattice on which rounding adds more is refused.
inline constexpr double kLargestLatticeExcess = 0.01;

// How far a clipped and rounded vector of so many coordinates may pass its clip norm, in L2 norm.
double LatticeExcess(double clip_norm, double spacing, std::int64_t dimension);

// What noise of `noise_multiplier` times the clip norm is times the sensitivity, excess and all.
double EffectiveMultiplier(double noise_multiplier, const LatticeRounding& rounding);

// kInvalidArgument naming the field that is out of range.
base::Status CheckRounding(const LatticeRounding& rounding);

// kInvalidArgument for a sum of another clip norm, lattice, dimension or relation, or with a larger
// excess than LatticeExcess().
base::Status CheckSum(const ClippedSum& sum, const LatticeRounding& rounding);

}  // namespace cloister::dp
