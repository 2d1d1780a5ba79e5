#include "federation/aggregation/word_bound.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

namespace cloister::federation::aggregation {
namespace {

constexpr double kWordLimit = 2147483648.0;  // 2^31

std::string Figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

tl::unexpected<base::Error> Refuse(const std::string& what) {
  return base::Fail(base::Code::kInvalidArgument, "word bound: " + what);
}

bool Positive(double value) { return std::isfinite(value) && value > 0; }

base::Status CheckInputs(const WordBoundInput& input) {
  if (input.sites < 1) return Refuse("the number of sites must be at least 1");
  if (input.units_cap < 1) return Refuse("units_cap must be at least 1");
  if (input.words < 1) return Refuse("the number of words must be at least 1");
  if (input.rounds < 1) return Refuse("the number of rounds must be at least 1");
  if (!Positive(input.clip_norm)) return Refuse("clip_norm must be positive and finite");
  if (!Positive(input.spacing)) return Refuse("spacing must be positive and finite");
  if (!std::isfinite(input.noise_sigma) || input.noise_sigma < 0) {
    return Refuse("noise_sigma must be finite and not negative");
  }
  if (!Positive(input.failure_probability) || input.failure_probability >= 1) {
    return Refuse("failure_probability must lie between 0 and 1");
  }
  return {};
}

}  // namespace

std::int64_t LargestCoordinate(std::int64_t units_cap, double clip_norm, double spacing) {
  constexpr double kMost = 0x1p60;
  const double most = static_cast<double>(units_cap) * clip_norm / spacing + 1;
  if (!(most < kMost)) return static_cast<std::int64_t>(kMost);  // also what is no number
  return static_cast<std::int64_t>(std::max(most, 1.0));
}

base::Result<WordBound> CheckWordBound(const WordBoundInput& input) {
  CLOISTER_RETURN_IF_ERROR(CheckInputs(input));
  const double sites = static_cast<double>(input.sites);
  WordBound bound;
  bound.signal =
      static_cast<double>(LargestCoordinate(input.units_cap, input.clip_norm, input.spacing));
  if (input.noise_sigma > 0) {
    // ln of each factor by itself: their product could overflow.
    bound.deviations = std::sqrt(2 * (std::log(2.0) + std::log(static_cast<double>(input.words)) +
                                      std::log(static_cast<double>(input.rounds)) -
                                      std::log(input.failure_probability)));
    bound.noise = bound.deviations * std::sqrt(sites) * input.noise_sigma + sites / 2;
  }
  bound.total = sites * bound.signal + bound.noise;
  if (!(bound.total < kWordLimit)) {
    return Refuse(
        std::to_string(input.sites) + " sites x (" + std::to_string(input.units_cap) +
        " units x clip norm " + Figure(input.clip_norm) + " / spacing " + Figure(input.spacing) +
        " + 1) + noise " + Figure(bound.noise) + " = " + Figure(bound.total) +
        ", which may pass 2^31 - 1 and wrap: lower units_cap or choose a coarser spacing");
  }
  return bound;
}

}  // namespace cloister::federation::aggregation
