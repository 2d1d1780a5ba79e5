#pragma once

// Inside dp/matrix_factorization/ and its tests only: what the optimisations minimize.

#include <cstdint>
#include <span>
#include <vector>

#include "dp/matrix_factorization/lbfgs.h"
#include "dp/matrix_factorization/workload.h"

namespace cloister::dp {

// |A C^-1|_F^2 / steps for the Toeplitz C of these coefficients (c[0] on the diagonal), and its
// gradient. O(steps * bands).
ValueAndGradient ToeplitzError(const Workload& workload, std::span<const double> c);

// The same for a general banded C: `columns` holds `bands` entries a column, from the diagonal
// down; those below the last row count for nothing. O(steps^2 * bands).
ValueAndGradient BandedError(const Workload& workload, std::int64_t bands,
                             std::span<const double> columns);

}  // namespace cloister::dp
