#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "dp/matrix_factorization/factorization.h"
#include "dp/matrix_factorization/sensitivity.h"

namespace cloister::dp {
namespace {

BandedMatrix RandomMatrix(std::int64_t steps, std::int64_t bands, std::mt19937_64& random) {
  std::uniform_real_distribution<double> entry(-1, 1);
  std::vector<double> columns(static_cast<std::size_t>(steps * bands));
  for (double& value : columns) value = entry(random);
  for (std::int64_t j = 0; j < steps; ++j) {
    double& diagonal = columns[static_cast<std::size_t>(j * bands)];
    diagonal = 0.05 + std::abs(diagonal) * 0.9;
  }
  auto matrix = BandedMatrix::FromColumns(steps, bands, columns);
  EXPECT_TRUE(matrix);
  return std::move(matrix).value();
}

// The participation as written, on the bits of a set of steps.
bool Allowed(unsigned set, const Participation& participation) {
  if (std::popcount(set) > participation.max_participations) return false;
  int last = -1;
  for (int t = 0; t < 32; ++t) {
    if ((set >> t & 1) == 0) continue;
    if (last >= 0 && t - last < participation.min_separation) return false;
    last = t;
  }
  return true;
}

// |sum over the set of C[:, t] u_t|^2 for contributions that all point the same way (the columns
// are added up before the norm is taken, so that it would show if they shared a row).
std::uint64_t SquaredChange(const BandedMatrix& matrix, unsigned set) {
  std::uint64_t sum = 0;
  for (std::int64_t row = 0; row < matrix.steps(); ++row) {
    std::int64_t value = 0;
    for (std::int64_t below = 0; below < std::min(matrix.bands(), row + 1); ++below) {
      if ((set >> (row - below) & 1) != 0) value += matrix.entry(row - below, below);
    }
    sum += static_cast<std::uint64_t>(value * value);
  }
  return sum;
}

std::uint64_t BruteForce(const BandedMatrix& matrix, const Participation& participation) {
  std::uint64_t largest = 0;
  for (unsigned set = 0; set < (1U << matrix.steps()); ++set) {
    if (Allowed(set, participation)) largest = std::max(largest, SquaredChange(matrix, set));
  }
  return largest;
}

TEST(MatrixSensitivity, IsThatOfEveryPattern) {
  std::cout << "seed 71\n";
  std::mt19937_64 random(71);
  for (int round = 0; round < 60; ++round) {
    const auto steps = static_cast<std::int64_t>(1 + random() % 12);
    const auto bands = static_cast<std::int64_t>(1 + random() % static_cast<unsigned>(steps));
    const Participation participation{static_cast<std::int64_t>(1 + random() % 6),
                                      bands + static_cast<std::int64_t>(random() % 4)};
    const BandedMatrix matrix = RandomMatrix(steps, bands, random);
    const auto squared = SquaredSensitivity(matrix, participation);
    ASSERT_TRUE(squared);
    EXPECT_EQ(*squared, BruteForce(matrix, participation))
        << steps << " steps, " << bands << " bands, " << participation.max_participations
        << " times, " << participation.min_separation << " apart";
  }
}

// Broken variants: the k largest columns wherever they stand, and columns k times `separation`
// apart from the first step on; each is wrong for some matrix, in either direction.
TEST(MatrixSensitivity, TheTestFindsShortCuts) {
  std::mt19937_64 random(72);
  bool largest_too_large = false;
  bool regular_too_small = false;
  for (int round = 0; round < 20; ++round) {
    const BandedMatrix matrix = RandomMatrix(12, 3, random);
    const std::uint64_t exact = BruteForce(matrix, {3, 3});
    std::vector<std::uint64_t> norms;
    for (std::int64_t t = 0; t < 12; ++t) norms.push_back(matrix.SquaredColumnNorm(t));
    const std::uint64_t regular = norms[0] + norms[3] + norms[6];
    std::sort(norms.rbegin(), norms.rend());
    largest_too_large |= norms[0] + norms[1] + norms[2] > exact;
    regular_too_small |= regular < exact;
  }
  EXPECT_TRUE(largest_too_large);
  EXPECT_TRUE(regular_too_small);
}

TEST(MatrixSensitivity, OfUnitColumnsIsTheRootOfTheParticipations) {
  const auto matrix = OptimizeToeplitz({1000, 0.9}, 16);
  ASSERT_TRUE(matrix);
  EXPECT_NEAR(*Sensitivity(*matrix, {4, 250}), 2, 1e-4);
  EXPECT_NEAR(*Sensitivity(*matrix, {1, 16}), 1, 2e-4);
  // 25 fit 40 apart, whatever is allowed.
  EXPECT_NEAR(*Sensitivity(*matrix, {1'000'000'000'000, 40}), 5, 1e-3);
  const auto white = OptimizeToeplitz({1000, 0}, 1);
  EXPECT_GE(*Sensitivity(*white, {1, 1}), 1);
  EXPECT_LT(*Sensitivity(*white, {1, 1}), 1 + 1e-14);
}

TEST(MatrixSensitivity, RefusesWhatIsNotOrthogonal) {
  const auto matrix = OptimizeToeplitz({100, 0}, 8);
  ASSERT_TRUE(matrix);
  for (const Participation participation :
       {Participation{2, 7}, {0, 8}, {-1, 8}, {2, 0}, {2, -8}}) {
    const auto refused = SquaredSensitivity(*matrix, participation);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, base::Code::kInvalidArgument);
  }
  EXPECT_TRUE(SquaredSensitivity(*matrix, {2, 8}));
  EXPECT_TRUE(SquaredSensitivity(*matrix, {2, std::int64_t{1} << 62}));
  const auto long_run = OptimizeToeplitz({1 << 20, 0}, 1);
  ASSERT_TRUE(long_run);
  EXPECT_FALSE(SquaredSensitivity(*long_run, {1 << 19, 1}));
}

}  // namespace
}  // namespace cloister::dp
