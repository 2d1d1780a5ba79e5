#pragma once

#include <cstdint>

#include "base/result.h"

namespace cloister::dp::audit {

// How well somebody guessed, from what a mechanism put out, which canaries were among its units.
// Each of `canaries` units was included or not by a fair coin of its own; of `guesses` of them,
// chosen by the output alone, inclusion was guessed, of the others nothing was said.
struct Guesses {
  std::int64_t canaries = 0;
  std::int64_t guesses = 0;
  std::int64_t correct = 0;
};

// The probability that a mechanism which is (epsilon, delta)-DP for adding or removing one unit
// lets anybody guess so many or more correctly, at most: what Theorem 5.2 of Steinke, Nasr and
// Jagielski ("Privacy Auditing with One (1) Training Run", 2023) bounds it by,
//   P[W >= v] + 2 m delta max over i in 1..m of P[v > W >= v - i] / i,
// W binomial of `guesses` trials of probability e^epsilon / (1 + e^epsilon). To 1e-9 relative for
// up to 2^24 canaries; what is below 1e-300 may be given as 0.
// kInvalidArgument unless 0 <= correct <= guesses <= canaries <= 2^24, epsilon >= 0 and delta in
// [0, 1].
base::Result<double> PValue(const Guesses& seen, double epsilon, double delta);

// An epsilon that the mechanism cannot keep at `delta`: had it kept this one or a lower one, so
// many correct guesses had at most the probability 1 - confidence. 0 where nothing is shown. To
// 1e-9, rounded down. kInvalidArgument as above, and unless confidence lies within (0, 1).
base::Result<double> EpsilonLowerBound(const Guesses& seen, double delta, double confidence);

}  // namespace cloister::dp::audit
