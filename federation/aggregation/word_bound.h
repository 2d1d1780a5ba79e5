#pragma once

#include <cstdint>

#include "base/result.h"

namespace cloister::federation::aggregation {

// What units_cap units come to at most in one coordinate of a site's clipped sum, in lattice units:
// units_cap * C / g, a coordinate being at most the norm, and one for rounding. A site cuts its sum
// to it before noise, and the bound below counts on that. From 1 to 2^60, whatever is given.
std::int64_t LargestCoordinate(std::int64_t units_cap, double clip_norm, double spacing);

// Whether the sum of all sites' integers fits a 32-bit word, settled when a job is submitted. Each
// site's integer is its clipped sum and its noise, in lattice units.
struct WordBoundInput {
  std::int64_t sites = 0;  // n, all of them present
  std::int64_t units_cap =
      0;                 // units of one site, all drawn and clipped at C; what more come to is cut
  double clip_norm = 0;  // C
  double spacing = 0;    // g
  double noise_sigma = 0;   // one site's noise share, standard deviation in lattice units; may be 0
  std::int64_t words = 0;   // d
  std::int64_t rounds = 0;  // over which the failure probability is taken
  double failure_probability = 0;  // that any word of any round wraps, in (0, 1)
};

struct WordBound {
  double signal = 0;      // per site: LargestCoordinate
  double deviations = 0;  // z: the noise stays below z standard deviations of the whole noise
  double noise = 0;       // of the sum: z * sqrt(n) * noise_sigma + n / 2
  double total = 0;       // n * signal + noise, below 2^31
};

// The bound. Each noise is a
// Gaussian rounded to an integer, so the n noises differ from a Gaussian of variance n sigma^2 by
// at most n / 2; with z = sqrt(2 ln(2 d rounds / p)) the tail bound P(|N| > z) <= 2 exp(-z^2 / 2)
// and the union over all words and rounds give p. (Fewer survivors only lessen it.)
// kInvalidArgument with the figures when total >= 2^31, or naming an input that is out of range.
base::Result<WordBound> CheckWordBound(const WordBoundInput& input);

}  // namespace cloister::federation::aggregation
