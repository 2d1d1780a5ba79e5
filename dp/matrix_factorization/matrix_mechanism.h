#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/matrix_factorization/banded_matrix.h"
#include "dp/matrix_factorization/correlated_noise.h"
#include "dp/matrix_factorization/sensitivity.h"
#include "dp/mechanism/clipped_sum.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "security/random.h"

namespace cloister::dp {

// DP-FTRL for training in a fixed order: clipped sums of the steps, rounded to a lattice, with
// noise that is correlated over the steps so that it cancels in the model (docs/design, matrix
// factorization). All steps together are one Gaussian release under the zero-out relation, for
// units that take part as `participation` says; the loader enforces that. Not thread-safe.
class MatrixMechanism {
 public:
  struct Parameters {
    // Standard deviation of z over the sensitivity of C x: what one Gaussian event is accounted
    // with.
    double noise_multiplier = 0;
    double clip_norm = 0;
    std::int64_t dimension = 0;
    double spacing = 0;  // g; at most noise_multiplier * clip_norm / 64
    Participation participation;
  };
  // kInvalidArgument naming the parameter that breaks a rule.
  static base::Result<MatrixMechanism> Create(const Parameters& parameters,
                                              const BandedMatrix& matrix,
                                              security::AesCtrStream random);
  // Goes on after the last step of `states` (CorrelatedNoise::Restore), of which each was made
  // durable before its step was released. `last_released`: Ledger::LastStep of the job, or more
  // where another record (log, model) knows of more; kFailedPrecondition when the states end
  // before, because a released step may not be executed again.
  static base::Result<MatrixMechanism> Restore(
      const Parameters& parameters, const BandedMatrix& matrix, security::AesCtrStream random,
      std::span<const std::span<const std::uint8_t>> states, std::int64_t last_released);

  // The event that all steps cost together: sampling rate 1, one step, zero-out.
  Event event() const;
  // The same of a mechanism that is not made, its rows not taken from memory. Errors as Create,
  // but for the noise's range.
  static base::Result<Event> EventOf(const Parameters& parameters, const BandedMatrix& matrix);
  std::int64_t step() const { return noise_.step(); }  // steps that are done or given up
  // To keep its whole state (Serialize) with a checkpoint, sealed.
  const CorrelatedNoise& noise() const { return noise_; }

  // Makes what it takes from the noise (Serialize, or SerializeLastRow) durable, sealed.
  using Persist = std::function<base::Status(const CorrelatedNoise&)>;
  // The next step's sum and its noise. In this order: checks the sum and takes the memory that
  // noise needs; debits the ledger with event(), before the first step, unless it goes on from a
  // state of before that step and was debited then; draws the step's noise; persists it, with which
  // the step is done for good; has the ledger record the step; returns. After an error nothing was
  // released. kInvalidArgument for a sum that GaussianMechanism would refuse or that is not
  // zero-out, kInternal for want of memory, the ledger's error of the debit (the step is not done
  // then); the persister's error, or the ledger's kAlreadyExists where another copy of this state
  // has released the step (then the step is given up); kFailedPrecondition after the last step.
  // `key` names the job; it is the same at each step.
  base::Result<NoisedSum> Release(ClippedSum sum, Ledger& ledger, const std::string& data_set,
                                  const SpendKey& key, const Persist& persist);

 private:
  base::Status PaidBefore(const Ledger& ledger, const std::string& data_set, const SpendKey& key,
                          const base::Status& refused) const;
  MatrixMechanism(const Parameters& parameters, CorrelatedNoise noise, double sigma,
                  std::int64_t steps);
  Parameters parameters_;
  CorrelatedNoise noise_;
  double sigma_;  // of z, in units of the noise's fine lattice
  std::int64_t steps_;
  bool restored_ = false;
};

}  // namespace cloister::dp
