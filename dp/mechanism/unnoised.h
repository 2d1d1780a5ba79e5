#pragma once

#include <utility>
#include <vector>

#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp {

// The only way to the numbers of a clipped sum before noise is added: for mechanisms, which add it
// (dp/mechanism, dp/matrix_factorization), and for tests. The check of layers refuses this header
// elsewhere.
struct Unnoised {
  static const LatticeSum& Points(const ClippedSum& sum) { return sum.points_; }
  static LatticeSum TakePoints(ClippedSum sum) { return std::move(sum.points_); }

  // The points times the spacing, all of them: a copy.
  static std::vector<double> Values(const ClippedSum& sum) {
    std::vector<double> values(static_cast<std::size_t>(sum.dimension()));
    sum.points_.ReadScaled(0, sum.spacing(), values);
    return values;
  }
};

}  // namespace cloister::dp
