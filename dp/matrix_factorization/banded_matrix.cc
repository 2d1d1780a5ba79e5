#include "dp/matrix_factorization/banded_matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "dp/matrix_factorization/workload.h"

namespace cloister::dp {
namespace {

// Of the work that creating a matrix may cost: entries stored, and steps of the substitution.
constexpr std::int64_t kMostEntries = std::int64_t{1} << 24;
// What fp64 may lose in the substitution, for sums that are small enough to be accepted.
constexpr double kUpwards = 1.01;

tl::unexpected<base::Error> Bad(const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "banded matrix: " + rule);
}

// Of each row of C^-1 the sum of `term` of its entries, by substitution.
template <typename Term>
std::vector<double> InverseRowTotals(const BandedMatrix& matrix, const Term& term) {
  const std::int64_t bands = matrix.bands();
  constexpr double kScale = BandedMatrix::kOne;
  std::vector<double> totals;
  // Up to here every column is the first stored one: C^-1 is Toeplitz, its row sums only grow.
  std::vector<double> inverse;
  double sum = 0;
  for (std::int64_t i = 0; i <= matrix.first_stored(); ++i) {
    double value = i == 0 ? kScale : 0;
    for (std::int64_t below = 1; below < std::min(bands, i + 1); ++below) {
      value -= matrix.entry(0, below) * inverse[static_cast<std::size_t>(i - below)];
    }
    inverse.push_back(value / matrix.entry(0, 0));
    sum += term(inverse.back());
    totals.push_back(sum);
  }
  // Below, row by row: x C = e_row, from the diagonal to the left.
  std::vector<double> row(static_cast<std::size_t>(matrix.steps()));
  for (std::int64_t t = matrix.first_stored() + 1; t < matrix.steps(); ++t) {
    sum = 0;
    for (std::int64_t j = t; j >= 0; --j) {
      double value = j == t ? kScale : 0;
      for (std::int64_t below = 1; below < std::min(bands, t - j + 1); ++below) {
        value -= matrix.entry(j, below) * row[static_cast<std::size_t>(j + below)];
      }
      row[static_cast<std::size_t>(j)] = value / matrix.entry(j, 0);
      sum += term(row[static_cast<std::size_t>(j)]);
    }
    totals.push_back(sum);
  }
  return totals;
}

}  // namespace

base::Result<BandedMatrix> BandedMatrix::FromColumns(std::int64_t steps, std::int64_t bands,
                                                     std::span<const double> columns) {
  if (steps < 1 || steps > kMostMatrixSteps) return Bad("give from 1 to 2^20 steps");
  if (bands < 1 || bands > std::min(steps, kMostBands)) {
    return Bad("give from 1 to 1024 bands, at most one a step");
  }
  const auto width = static_cast<std::size_t>(bands);
  if (columns.empty() || columns.size() % width != 0) return Bad("give whole columns");
  const auto stored = static_cast<std::int64_t>(columns.size() / width);
  if (stored < bands || stored > steps || stored * bands > kMostEntries) {
    return Bad("give from as many columns as bands to as many as steps, at most 2^24 entries");
  }
  std::vector<std::int32_t> entries;
  entries.reserve(columns.size());
  for (std::int64_t column = 0; column < stored; ++column) {
    for (std::int64_t below = 0; below < bands; ++below) {
      const double entry = columns[static_cast<std::size_t>(column * bands + below)];
      if (!(std::abs(entry) <= 1)) return Bad("give finite entries from -1 to 1");
      const bool inside = column + below < stored;
      entries.push_back(inside ? static_cast<std::int32_t>(std::lround(entry * kOne)) : 0);
    }
    if (entries[static_cast<std::size_t>(column * bands)] <= 0) {
      return Bad("give diagonal entries of at least 2^-12");
    }
  }
  return BandedMatrix(steps, bands, std::move(entries));
}

BandedMatrix::BandedMatrix(std::int64_t steps, std::int64_t bands,
                           std::vector<std::int32_t> entries)
    : steps_(steps),
      bands_(bands),
      first_stored_(steps - static_cast<std::int64_t>(entries.size()) / bands),
      entries_(std::move(entries)) {}

std::uint64_t BandedMatrix::SquaredColumnNorm(std::int64_t column) const {
  std::uint64_t sum = 0;
  for (std::int64_t below = 0; below < bands_; ++below) {
    const std::int64_t value = entry(column, below);
    sum += static_cast<std::uint64_t>(value * value);
  }
  return sum;
}

security::Sha256Digest BandedMatrix::Digest() const {
  security::Sha256 hash;
  hash.Update("cloister banded matrix 1");
  for (const std::int64_t value : {steps_, bands_}) {
    hash.Update({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
  }
  hash.Update({reinterpret_cast<const std::uint8_t*>(entries_.data()),
               entries_.size() * sizeof entries_.front()});
  return hash.Finish();
}

std::vector<double> InverseRowSquares(const BandedMatrix& matrix) {
  return InverseRowTotals(matrix, [](double value) { return value * value; });
}

double InverseRowSum(const BandedMatrix& matrix) {
  double largest = 0;
  for (const double sum : InverseRowTotals(matrix, [](double value) { return std::abs(value); })) {
    if (!std::isfinite(sum)) return std::numeric_limits<double>::infinity();
    largest = std::fmax(largest, sum);
  }
  return kUpwards * largest;
}

}  // namespace cloister::dp
