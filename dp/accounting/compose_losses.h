#pragma once

#include <optional>
#include <span>

#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {

// A loss that is composed `count` times.
struct Part {
  const TiltedLoss* loss;
  std::int64_t count;
};

// The widest spacing on which rounding all parts to a lattice raises log δ by about `rise`: the
// logarithm of the tilted mass's growth over the whole composition.
double SpacingFor(std::span<const Part> parts, double tilt, double rise);

// The composition of all parts on lattices of the same spacing, by products and powers of Fourier
// transforms. The transform is as long as is needed to leave at most `outside` of the mass (bounded
// by Chernoff's inequality at several orders) beyond its ends. What lies beyond wraps into it,
// which can only raise masses, and is counted again as stray mass, so that the result dominates; a
// bound on all rounding errors of the transforms, in the sum of masses, is stray mass too.
//
// A lattice that would need more than `longest` terms is made coarser, which only raises losses,
// and the result says so. Nothing where that does not end: many steps of which rare large losses
// need a fine lattice.
inline constexpr std::size_t kLongest = 3 * (std::size_t{1} << 14);
std::optional<TiltedLoss> Compose(std::span<const Part> parts, double tilt, double spacing,
                                  double outside, std::size_t longest = kLongest);

}  // namespace cloister::dp
