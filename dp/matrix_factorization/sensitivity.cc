#include "dp/matrix_factorization/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace cloister::dp {
namespace {

constexpr std::int64_t kMostWork = std::int64_t{1} << 32;  // steps * participations

tl::unexpected<base::Error> Bad(const std::string& field, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "participation, " + field + ": " + rule);
}

}  // namespace

base::Result<std::uint64_t> SquaredSensitivity(const BandedMatrix& matrix,
                                               const Participation& participation) {
  const auto [most, separation] = participation;
  if (most < 1) return Bad("max_participations", "give a number of at least 1");
  if (separation < 1) return Bad("min_separation", "give a number of steps of at least 1");
  if (matrix.bands() > separation) {
    return Bad("min_separation", "the matrix has " + std::to_string(matrix.bands()) +
                                     " bands: give at least as many steps, or fewer bands");
  }
  const std::int64_t steps = matrix.steps();
  // No more fit into the run. A squared norm is below 2^42: no sum of 2^20 reaches 2^63.
  const std::int64_t count = std::min(most, (steps - 1) / separation + 1);
  if (count > kMostWork / steps) {
    return Bad("max_participations", "too many for so many steps: give fewer, or more separation");
  }
  // best[m]: the most that m + 1 participations reach within the steps so far. A step that takes
  // part adds to what `separation` steps before was best; `window` holds those rows by turns.
  const auto width = static_cast<std::size_t>(count);
  const auto turns = static_cast<std::size_t>(std::min(separation, steps));
  std::vector<std::uint64_t> best(width);
  std::vector<std::uint64_t> window(turns * width);
  for (std::int64_t t = 0; t < steps; ++t) {
    const std::uint64_t norm = matrix.SquaredColumnNorm(t);
    std::uint64_t* const before = window.data() + static_cast<std::size_t>(t) % turns * width;
    for (std::size_t m = width; m-- > 0;) {
      best[m] = std::max(best[m], norm + (m > 0 ? before[m - 1] : 0));
    }
    std::copy(best.begin(), best.end(), before);
  }
  return best.back();
}

base::Result<double> Sensitivity(const BandedMatrix& matrix, const Participation& participation) {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t squared, SquaredSensitivity(matrix, participation));
  const double up =
      std::nextafter(static_cast<double>(squared), std::numeric_limits<double>::infinity());
  return std::nextafter(std::sqrt(up), std::numeric_limits<double>::infinity()) /
         BandedMatrix::kOne;
}

}  // namespace cloister::dp
