#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "security/primitives.h"

namespace cloister::dp {

// The encoder of a factorization A = B C: lower triangular, steps x steps, with `bands` diagonals,
// its entries whole multiples of 2^-12, so that its sensitivity and what the noise is correlated by
// are known exactly. Immutable.
class BandedMatrix {
 public:
  static constexpr int kFractionBits = 12;
  static constexpr std::int32_t kOne = std::int32_t{1} << kFractionBits;

  // `columns`: for each stored column its `bands` entries from the diagonal down. They are the
  // matrix's last columns, at least `bands` of them; all columns before equal the first stored one.
  // Entries are rounded to multiples of 2^-12; entries below the last row are set to 0.
  // kInvalidArgument: not 1 <= bands <= min(steps, 1024); fewer columns than bands or more than
  // steps; entries that are not finite or beyond 1; a diagonal entry that is not positive.
  static base::Result<BandedMatrix> FromColumns(std::int64_t steps, std::int64_t bands,
                                                std::span<const double> columns);

  std::int64_t steps() const { return steps_; }
  std::int64_t bands() const { return bands_; }
  // The columns before this one are equal to it.
  std::int64_t first_stored() const { return first_stored_; }
  // C[column + below][column] * 2^12, 0 <= below < bands.
  std::int32_t entry(std::int64_t column, std::int64_t below) const {
    const std::int64_t stored = column < first_stored_ ? 0 : column - first_stored_;
    return entries_[static_cast<std::size_t>(stored * bands_ + below)];
  }
  // Of a column, in units of 2^-32: below 2^42.
  std::uint64_t SquaredColumnNorm(std::int64_t column) const;

  // SHA-256 of everything above.
  security::Sha256Digest Digest() const;

 private:
  BandedMatrix(std::int64_t steps, std::int64_t bands, std::vector<std::int32_t> entries);

  std::int64_t steps_;
  std::int64_t bands_;
  std::int64_t first_stored_;
  std::vector<std::int32_t> entries_;
};

// The largest sum of absolute values over a row of C^-1 (in units where C's entries are as stated,
// not scaled by 2^12), rounded upwards; infinite where the inverse is beyond fp64. By substitution,
// O(stored columns * steps * bands).
double InverseRowSum(const BandedMatrix& matrix);

// Of each row of C^-1 the sum of its entries' squares: the variance of that step's noise over that
// of z. Errors and effort as InverseRowSum's.
std::vector<double> InverseRowSquares(const BandedMatrix& matrix);

}  // namespace cloister::dp
