#pragma once

// Inside dp/mechanism/ and dp/matrix_factorization/ only: the rounding of clipped sums to a
// lattice, which every Gaussian mechanism shares (docs/design, lattice noise, section 1).

#include <cstdint>
#include <span>
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
  double margin = 0;  // what rounding and summation may add to the sensitivity, over clip_norm
  Neighbours neighbours{};
};

inline constexpr double kLargestLatticeMargin = 0.01;

// kInvalidArgument naming the field that is out of range, or that rounding alone would pass the
// margin.
base::Status CheckRounding(const LatticeRounding& rounding);

// kInvalidArgument for a sum of another clip norm, dimension or relation, with a value that is not
// finite or is beyond 2^40 spacings, or whose summation error passes the margin.
base::Status CheckSum(const ClippedSum& sum, const LatticeRounding& rounding);

// lattice[i] += the lattice point nearest to values[i], for a sum that was checked.
void AddLatticePoints(const ClippedSum& sum, double spacing, std::span<std::int64_t> lattice);

}  // namespace cloister::dp
