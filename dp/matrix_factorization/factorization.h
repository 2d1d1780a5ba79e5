#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "dp/matrix_factorization/banded_matrix.h"
#include "dp/matrix_factorization/workload.h"

namespace cloister::dp {

// Factorizations A = B C of a workload, C banded with columns of norm 1: noise C^-1 z, z white,
// costs the privacy of a Gaussian whose sensitivity is sqrt(participations), and puts B z on the
// models. Objective: the mean squared error |B|_F^2 / steps of the models at that norm of the
// columns. Choquette-Choo et al., "(Amplified) Banded Matrix Factorization" (2023); McKenna,
// "Scaling up the Banded Matrix Factorization Mechanism" (2024).

// The banded Toeplitz matrix that minimizes |A C^-1|_F^2 |c|^2 over its coefficients c, found from
// the square root's first `bands` ones, O(steps * bands) an iteration; then its last columns, which
// the matrix cuts, are scaled up to norm 1. kInvalidArgument for a workload or bands out of range.
base::Result<BandedMatrix> OptimizeToeplitz(const Workload& workload, std::int64_t bands);

// The same over all banded lower-triangular matrices, from OptimizeToeplitz's: less error where
// steps are few, O(steps^2 * bands) an iteration. kInvalidArgument also beyond kMostGeneralWork.
inline constexpr std::int64_t kMostGeneralWork = std::int64_t{1} << 26;  // steps^2 * bands
base::Result<BandedMatrix> OptimizeBanded(const Workload& workload, std::int64_t bands);

// |A C^-1|_F^2 / steps of the matrix as it stands, O(steps^2 * bands): the mean over the steps of
// the models' variance, a parameter, under white noise of variance 1.
double MeanSquaredError(const BandedMatrix& matrix, const Workload& workload);

}  // namespace cloister::dp
