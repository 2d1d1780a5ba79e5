#include "dp/mechanism/lattice_rounding.h"

#include <cmath>
#include <string>

namespace cloister::dp {
namespace {

constexpr std::int64_t kLargestDimension = std::int64_t{1} << 40;

tl::unexpected<base::Error> Bad(const LatticeRounding& r, const std::string& parameter,
                                const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument,
                    std::string(r.mechanism) + ", " + parameter + ": " + rule);
}

}  // namespace

// A coordinate is rounded at most twice (a matrix that is embedding and head), each time by half a
// spacing. 2^-40 covers the roundings of the clip factor, of its product with a value, and of
// norms.
double LatticeExcess(double clip_norm, double spacing, std::int64_t dimension) {
  return spacing * std::sqrt(static_cast<double>(dimension)) + clip_norm * 0x1p-40;
}

double EffectiveMultiplier(double noise_multiplier, const LatticeRounding& r) {
  return noise_multiplier / (1 + LatticeExcess(r.clip_norm, r.spacing, r.dimension) / r.clip_norm);
}

// Written so that a NaN fails.
base::Status CheckRounding(const LatticeRounding& r) {
  if (!(r.clip_norm >= 1e-30 && r.clip_norm <= 1e30)) {
    return Bad(r, "clip_norm", "give a number from 1e-30 to 1e30");
  }
  if (r.dimension < 1 || r.dimension > kLargestDimension) {
    return Bad(r, "dimension", "give the number of parameters, from 1 to 2^40");
  }
  if (!(r.spacing > 0 && LatticeExcess(r.clip_norm, r.spacing, r.dimension) <=
                             kLargestLatticeExcess * r.clip_norm)) {
    return Bad(r, "spacing",
               "give a lattice with spacing * sqrt(dimension) at most 1 % of clip_norm");
  }
  if (!(r.clip_norm / r.spacing <= LatticeSum::kLargestSummand)) {
    return Bad(r, "spacing", "give a lattice of at least clip_norm / 2^26");
  }
  return {};
}

base::Status CheckSum(const ClippedSum& sum, const LatticeRounding& r) {
  if (sum.clip_norm() != r.clip_norm || sum.neighbours() != r.neighbours) {
    return Bad(r, "sum", "it was clipped to another norm or under another neighbour relation");
  }
  if (sum.spacing() != r.spacing) return Bad(r, "sum", "it is on another lattice");
  if (sum.dimension() != r.dimension) {
    return Bad(r, "sum", "it has another dimension than the mechanism");
  }
  if (!(sum.excess() >= 0 && sum.excess() <= LatticeExcess(r.clip_norm, r.spacing, r.dimension))) {
    return Bad(r, "sum", "rounding adds more to its sensitivity than is accounted for");
  }
  return {};
}

}  // namespace cloister::dp
