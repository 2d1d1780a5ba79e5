#pragma once

#include <cstdint>

namespace cloister::dp {

// Total variation between the sum of `shares` independent rounded Gaussians, each of standard
// deviation `sigma` in lattice units, and a randomized rounding of one Gaussian of the summed
// variance, at most; for every number of shares from 1 to `shares`. `sigma` at least 16, `shares`
// at most 1024. The proof is in docs/design, lattice noise, section 4.
double AliasingBound(double sigma, std::int64_t shares);

// Natural logarithm of that bound, which no double could hold at the noise that is used; -infinity
// for one share. The proof covers `sigma` from 0.5 on.
double LogAliasingBound(double sigma, std::int64_t shares);

}  // namespace cloister::dp
