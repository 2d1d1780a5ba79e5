#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <numbers>
#include <numeric>
#include <random>
#include <vector>

#include "dp/matrix_factorization/factorization.h"
#include "dp/matrix_factorization/lbfgs.h"
#include "dp/matrix_factorization/objectives.h"

namespace cloister::dp {
namespace {

using Vector = std::vector<double>;

double SquaredNorm(const Vector& x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

BandedMatrix Toeplitz(const Workload& workload, std::int64_t bands) {
  auto matrix = OptimizeToeplitz(workload, bands);
  EXPECT_TRUE(matrix) << (matrix ? "" : matrix.error().message);
  return std::move(matrix).value();
}

BandedMatrix Banded(const Workload& workload, std::int64_t bands) {
  auto matrix = OptimizeBanded(workload, bands);
  EXPECT_TRUE(matrix) << (matrix ? "" : matrix.error().message);
  return std::move(matrix).value();
}

// One band is DP-SGD: after step t the model holds t independent noises.
TEST(MatrixFactorization, OneBandIsIndependentNoise) {
  const Workload workload{100, 0};
  for (const BandedMatrix& matrix : {Toeplitz(workload, 1), Banded(workload, 1)}) {
    EXPECT_NEAR(MeanSquaredError(matrix, workload), (100 + 1) / 2.0, 1e-10);
    EXPECT_EQ(matrix.entry(50, 0), BandedMatrix::kOne);
  }
}

// All bands of the square root: B = C, its squared norms are the Landau constants, and
// G_n = (ln n + gamma + 4 ln 2) / pi + O(1 / n).
TEST(MatrixFactorization, TheSquareRootHasItsKnownError) {
  const Workload workload{4096, 0};
  const Vector root = SquareRootColumn(workload, workload.steps);
  const double landau =
      (std::log(4096.0) + std::numbers::egamma + 4 * std::numbers::ln2) / std::numbers::pi;
  EXPECT_NEAR(SquaredNorm(root), landau, 1e-3);
  double expected = 0;
  for (std::size_t i = 0; i < root.size(); ++i) {
    expected += (4096 - static_cast<double>(i)) / 4096 * root[i] * root[i];
  }
  EXPECT_NEAR(ToeplitzError(workload, root).value, expected, 1e-9 * expected);
}

TEST(MatrixFactorization, TheSquareRootSquaresToTheWorkload) {
  for (const double momentum : {0.0, 0.5, 0.95}) {
    const Workload workload{200, momentum};
    const Vector root = SquareRootColumn(workload, 200);
    const Vector column = WorkloadColumn(workload, 200);
    for (std::size_t i = 0; i < column.size(); ++i) {
      double product = 0;
      for (std::size_t j = 0; j <= i; ++j) product += root[j] * root[i - j];
      ASSERT_NEAR(product, column[i], 1e-10 * column[i]) << momentum << " " << i;
    }
  }
}

// More bands, more freedom; a general matrix, more than a Toeplitz one; and never worse than the
// truncated square root it began with.
TEST(MatrixFactorization, ErrorFallsWithEveryFreedom) {
  for (const double momentum : {0.0, 0.9}) {
    const Workload workload{64, momentum};
    double last = MeanSquaredError(Toeplitz(workload, 1), workload);
    for (const std::int64_t bands : {2, 4, 8, 16}) {
      const double toeplitz = MeanSquaredError(Toeplitz(workload, bands), workload);
      const double banded = MeanSquaredError(Banded(workload, bands), workload);
      const Vector root = SquareRootColumn(workload, bands);
      const double truncated = ToeplitzError(workload, root).value * SquaredNorm(root);
      EXPECT_LT(toeplitz, 0.9 * last) << momentum << " " << bands;
      EXPECT_LT(banded, toeplitz) << momentum << " " << bands;
      EXPECT_LT(toeplitz, 1.0001 * truncated) << momentum << " " << bands;
      last = toeplitz;
    }
  }
}

// No lower-triangular factorization of unit columns beats the nuclear norm: |A C^-1|_F |C|_F is at
// least |A|_*, and |C|_F^2 is the number of steps. The full general matrix comes near it (the exact
// optimum of the prefix sums is above it by little).
TEST(MatrixFactorization, TheFullMatrixComesNearTheLowerBound) {
  const Workload workload{32, 0};
  // The prefix sums' singular values: 1 / (2 sin((2k - 1) pi / (4n + 2))).
  double nuclear = 0;
  for (int k = 1; k <= 32; ++k) {
    nuclear += 1 / (2 * std::sin((2 * k - 1) * std::numbers::pi / (4 * 32 + 2)));
  }
  const double bound = nuclear * nuclear / (32.0 * 32.0);
  const double error = MeanSquaredError(Banded(workload, 32), workload);
  std::cout << "error over bound " << error / bound << "\n";
  EXPECT_GT(error, bound);
  EXPECT_LT(error, 1.1 * bound);
}

// Every gradient against differences of the value.
void CheckGradient(const std::function<ValueAndGradient(const Vector&)>& function, Vector at) {
  const ValueAndGradient here = function(at);
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double old = at[i];
    const double step = 1e-6;
    at[i] = old + step;
    const double above = function(at).value;
    at[i] = old - step;
    const double below = function(at).value;
    at[i] = old;
    ASSERT_NEAR(here.gradient[i], (above - below) / (2 * step), 1e-5 * here.value) << i;
  }
}

TEST(MatrixFactorization, GradientsAreTheValues) {
  std::mt19937_64 random(61);
  std::uniform_real_distribution<double> small(-0.2, 0.4);
  for (const double momentum : {0.0, 0.7}) {
    const Workload workload{12, momentum};
    Vector c = {1, 0, 0, 0};
    for (std::size_t i = 1; i < 4; ++i) c[i] = small(random);
    CheckGradient([&](const Vector& x) { return ToeplitzError(workload, x); }, c);
    Vector columns(12 * 4);
    for (std::size_t i = 0; i < columns.size(); ++i) {
      columns[i] = i % 4 == 0 ? 1 + small(random) : small(random);
    }
    CheckGradient([&](const Vector& x) { return BandedError(workload, 4, x); }, columns);
    // The two agree where the general matrix is a Toeplitz one.
    Vector repeated;
    for (int j = 0; j < 12; ++j) repeated.insert(repeated.end(), c.begin(), c.end());
    EXPECT_NEAR(BandedError(workload, 4, repeated).value, ToeplitzError(workload, c).value, 1e-9);
  }
}

TEST(MatrixFactorization, ColumnsHaveNormOne) {
  const Workload workload{50, 0};
  for (const BandedMatrix& matrix : {Toeplitz(workload, 8), Banded(workload, 8)}) {
    for (std::int64_t j = 0; j < 50; ++j) {
      const double norm =
          std::sqrt(static_cast<double>(matrix.SquaredColumnNorm(j))) / BandedMatrix::kOne;
      EXPECT_NEAR(norm, 1, 2e-4) << j;  // entries of 12 bits
    }
  }
}

// What 12 bits of fraction cost, for many bands and steps.
TEST(MatrixFactorization, RoundingTheEntriesCostsNextToNothing) {
  const Workload workload{1000, 0.9};
  Vector c = SquareRootColumn(workload, 64);
  const double norm = std::sqrt(SquaredNorm(c));
  Vector columns;
  for (double& entry : c) entry /= norm;
  for (int j = 0; j < 64; ++j) columns.insert(columns.end(), c.begin(), c.end());
  const auto matrix = BandedMatrix::FromColumns(1000, 64, columns);
  ASSERT_TRUE(matrix);
  EXPECT_NEAR(MeanSquaredError(*matrix, workload) / ToeplitzError(workload, c).value, 1, 1e-3);
}

// The inverse by substitution, whole, beside the sums that bound the noise.
TEST(MatrixFactorization, InverseRowSumsAreTheInverses) {
  for (const BandedMatrix& matrix :
       {Toeplitz({40, 0}, 5), Banded({40, 0}, 5), Toeplitz({7, 0.5}, 7)}) {
    const std::int64_t n = matrix.steps();
    const auto size = static_cast<std::size_t>(n);
    std::vector<Vector> inverse(size, Vector(size));
    const Vector squares = InverseRowSquares(matrix);
    ASSERT_EQ(squares.size(), size);
    double largest = 0;
    for (std::size_t row = 0; row < size; ++row) {
      inverse[row][row] = 1;
      for (std::size_t below = 1; below < std::min<std::size_t>(matrix.bands(), row + 1); ++below) {
        const double entry =
            matrix.entry(static_cast<std::int64_t>(row - below), static_cast<std::int64_t>(below)) /
            double{BandedMatrix::kOne};
        for (std::size_t j = 0; j < size; ++j) inverse[row][j] -= entry * inverse[row - below][j];
      }
      double sum = 0;
      for (double& value : inverse[row]) {
        value /= matrix.entry(static_cast<std::int64_t>(row), 0) / double{BandedMatrix::kOne};
        sum += std::abs(value);
      }
      largest = std::max(largest, sum);
      EXPECT_NEAR(squares[row], SquaredNorm(inverse[row]), 1e-12 * squares[row]);
    }
    EXPECT_GE(InverseRowSum(matrix), largest);
    EXPECT_LT(InverseRowSum(matrix), 1.02 * largest);
  }
}

TEST(MatrixFactorization, LbfgsFindsAKnownMinimum) {
  // Rosenbrock's valley.
  const auto valley = [](const Vector& x) {
    const double a = 1 - x[0];
    const double b = x[1] - x[0] * x[0];
    return ValueAndGradient{a * a + 100 * b * b, {-2 * a - 400 * b * x[0], 200 * b}};
  };
  const Vector found = MinimizeLbfgs(valley, {-1.2, 1}, 1e-10, 500);
  EXPECT_NEAR(found[0], 1, 1e-3);
  EXPECT_NEAR(found[1], 1, 2e-3);
}

TEST(MatrixFactorization, RefusesWhatItCannotBuild) {
  for (const Workload workload :
       {Workload{0, 0}, {-1, 0}, {(1 << 20) + 1, 0}, {10, -0.1}, {10, 1}, {10, std::nan("")}}) {
    EXPECT_FALSE(OptimizeToeplitz(workload, 1));
  }
  for (const std::int64_t bands : {-1, 0, 11}) {
    EXPECT_FALSE(OptimizeToeplitz({10, 0}, bands));
    EXPECT_FALSE(OptimizeBanded({10, 0}, bands));
  }
  EXPECT_FALSE(OptimizeToeplitz({1 << 20, 0}, 1025));
  EXPECT_FALSE(OptimizeBanded({1 << 15, 0}, 2));
  const Vector good = {1, 0.5, 1, 0.5};
  EXPECT_TRUE(BandedMatrix::FromColumns(9, 2, good));
  EXPECT_FALSE(BandedMatrix::FromColumns(9, 3, good));
  EXPECT_FALSE(BandedMatrix::FromColumns(9, 2, {}));
  EXPECT_FALSE(BandedMatrix::FromColumns(9, 2, Vector{1, 0.5}));
  for (const Vector& bad : {Vector{0, 0.5, 1, 0.5}, {1, std::nan(""), 1, 0}, {1, 1.5, 1, 0}}) {
    EXPECT_FALSE(BandedMatrix::FromColumns(9, 2, bad));
  }
}

}  // namespace
}  // namespace cloister::dp
