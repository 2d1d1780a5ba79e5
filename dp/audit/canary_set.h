#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "dp/audit/one_run_bound.h"
#include "security/random.h"

namespace cloister::dp::audit {

// A unit whose whole gradient is `value` at one coordinate of the flat parameter vector (a Dirac
// canary).
struct Canary {
  std::int64_t coordinate = 0;
  double value = 0;
};

// The mechanism that is audited, as it is claimed to be: each step a sum of contributions of norm
// at most clip_norm of the units drawn at sampling_rate, with noise of standard deviation
// noise_multiplier * clip_norm.
struct ClaimedMechanism {
  double noise_multiplier = 0;
  double sampling_rate = 0;
  double clip_norm = 0;
  std::int64_t steps = 0;
};

// Canaries at coordinates of their own, each included by a fair coin, and an attacker who sees
// every step's release and tells which were. Not thread-safe.
class CanarySet {
 public:
  // A canary's gradient is so many times longer than the clip norm, so that a mechanism that does
  // not clip shows it.
  static constexpr double kOverlength = 100;
  static constexpr std::int64_t kFewest = 10;
  static constexpr std::int64_t kMost = 200'000;  // half of them fit one clipped sum

  // Coins, coordinates and signs are drawn from `random`. kInvalidArgument unless kFewest <= count
  // <= kMost, and for fewer parameters than canaries.
  static base::Result<CanarySet> Draw(std::int64_t count, std::int64_t parameters,
                                      const ClaimedMechanism& claimed,
                                      security::AesCtrStream& random);

  // Those that take part.
  std::span<const Canary> included() const { return included_; }
  std::int64_t size() const { return static_cast<std::int64_t>(all_.size()); }

  // One step's noised sum, of all parameters.
  void Observe(std::span<const double> noised_sum);

  // How the attacker tells.
  //   kLikelihood  by the likelihood ratio of "included" to "not" under the claimed mechanism, the
  //                best test when the mechanism is as claimed; guesses those that it is surest of
  //   kSpread      by how much the canary's coordinate varies from step to step: noise that is the
  //                same each time varies by nothing. Guesses the most varied, all as included
  enum class Attack { kLikelihood, kSpread };
  // kInvalidArgument unless 1 <= guesses <= size().
  base::Result<Guesses> Guess(Attack attack, std::int64_t guesses) const;

 private:
  CanarySet(const ClaimedMechanism& claimed, std::vector<Canary> all, std::vector<bool> coins);

  ClaimedMechanism claimed_;
  std::vector<Canary> all_;
  std::vector<bool> coins_;
  std::vector<Canary> included_;
  // Of each canary's coordinate, signed and over the clip norm, over the steps so far.
  std::int64_t steps_ = 0;
  std::vector<double> log_ratio_, mean_, squares_;
};

// The bound that the attacks together show. Which are made is fixed before a step is seen; each is
// held to a confidence that lets all of them be right together with `confidence` (Bonferroni).
struct Verdict {
  double epsilon_lower = 0;
  Guesses seen;             // of the attack that shows the most
  double epsilon_most = 0;  // what the same attacks could have shown, had every guess been correct
};
// `guesses` 0: a tenth of the canaries, and nearly as many as are drawn at least once.
base::Result<Verdict> Judge(const CanarySet& canaries, const ClaimedMechanism& claimed,
                            std::int64_t guesses, double delta, double confidence);

}  // namespace cloister::dp::audit
