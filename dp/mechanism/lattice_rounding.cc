#include "dp/mechanism/lattice_rounding.h"

#include <cmath>
#include <string>

#include "base/check.h"

namespace cloister::dp {
namespace {

constexpr std::int64_t kLargestDimension = std::int64_t{1} << 40;
// A quotient that fp64 rounds moves by at most 2^-53 of itself, 2^-13 up to this size: rounding
// adds at most g (1/2 + 2^-13) a coordinate.
constexpr double kLargestLatticePoint = 0x1p40;
constexpr double kRoundingFactor = 1 + 0x1p-12;

tl::unexpected<base::Error> Bad(const LatticeRounding& r, const std::string& parameter,
                                const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument,
                    std::string(r.mechanism) + ", " + parameter + ": " + rule);
}

// What rounding to the lattice adds to the sensitivity.
double LatticeShare(const LatticeRounding& r) {
  return r.spacing * std::sqrt(static_cast<double>(r.dimension)) * kRoundingFactor;
}

}  // namespace

// Written so that a NaN fails.
base::Status CheckRounding(const LatticeRounding& r) {
  if (!(r.clip_norm > 0 && r.clip_norm <= 1e30)) {
    return Bad(r, "clip_norm", "give a number above 0");
  }
  if (r.dimension < 1 || r.dimension > kLargestDimension) {
    return Bad(r, "dimension", "give the number of parameters, from 1 to 2^40");
  }
  if (!(r.margin > 0 && r.margin <= kLargestLatticeMargin)) {
    return Bad(r, "margin", "give a number above 0 and at most 0.01");
  }
  if (!(r.spacing > 0 && LatticeShare(r) <= r.margin * r.clip_norm)) {
    return Bad(r, "spacing",
               "give a lattice with spacing * sqrt(dimension) at most 1 % of clip_norm");
  }
  return {};
}

base::Status CheckSum(const ClippedSum& sum, const LatticeRounding& r) {
  if (sum.clip_norm() != r.clip_norm || sum.neighbours() != r.neighbours) {
    return Bad(r, "sum", "it was clipped to another norm or under another neighbour relation");
  }
  if (static_cast<std::int64_t>(sum.values().size()) != r.dimension) {
    return Bad(r, "sum", "it has another dimension than the mechanism");
  }
  const double sensitivity_share = LatticeShare(r) + 2 * sum.summation_error();
  if (!(sum.summation_error() >= 0 && sensitivity_share <= r.margin * r.clip_norm)) {
    return Bad(r, "sum", "its summation error passes the margin: accumulate in higher precision");
  }
  for (const double value : sum.values()) {
    if (!(std::abs(value) / r.spacing <= kLargestLatticePoint)) {
      return Bad(r, "sum",
                 "a value is not finite or beyond 2^40 spacings: clip, or coarsen the lattice");
    }
  }
  return {};
}

void AddLatticePoints(const ClippedSum& sum, double spacing, std::span<std::int64_t> lattice) {
  CLOISTER_CHECK(lattice.size() == sum.values().size());
  for (std::size_t i = 0; i < lattice.size(); ++i) {
    lattice[i] += std::llrint(sum.values()[i] / spacing);
  }
}

}  // namespace cloister::dp
