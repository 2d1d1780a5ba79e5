#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/matrix_factorization/banded_matrix.h"

namespace cloister::dp {

// How often one unit may take part in the steps of a run: at most `max_participations` times, two
// of them at least `min_separation` steps apart. The loader enforces it.
struct Participation {
  std::int64_t max_participations = 0;
  std::int64_t min_separation = 0;
};

// What one unit can change in C x at most, where each of its contributions has norm 1, exactly:
// max |sum over its steps t of C[:, t] u_t|_F^2 over all step sets that the participation allows,
// in units of 2^-32. With bands <= min_separation the columns of two of its steps share no row, so
// that this is the largest sum of squared column norms; found by dynamic programming, O(steps *
// participations). Whether contributions point the same way or not makes no difference.
// kInvalidArgument: numbers below 1, bands beyond the separation, or too large a table.
base::Result<std::uint64_t> SquaredSensitivity(const BandedMatrix& matrix,
                                               const Participation& participation);

// Its root in units of the contributions' norm, rounded upwards.
base::Result<double> Sensitivity(const BandedMatrix& matrix, const Participation& participation);

}  // namespace cloister::dp
