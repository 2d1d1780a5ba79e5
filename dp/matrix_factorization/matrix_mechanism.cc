#include "dp/matrix_factorization/matrix_mechanism.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "dp/mechanism/lattice_rounding.h"
#include "dp/mechanism/unnoised.h"
#include "security/primitives.h"

namespace cloister::dp {
namespace {

tl::unexpected<base::Error> Bad(const std::string& parameter, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "matrix mechanism, " + parameter + ": " + rule);
}

LatticeRounding RoundingOf(const MatrixMechanism::Parameters& p) {
  return {"matrix mechanism", p.clip_norm, p.dimension, p.spacing, Neighbours::kZeroOut};
}

// Of z, in units of 2^-12 spacings. Written so that a NaN fails.
base::Result<double> SigmaOf(const MatrixMechanism::Parameters& p, const BandedMatrix& matrix) {
  if (!(p.noise_multiplier > 0 && p.noise_multiplier <= 1e9)) {
    return Bad("noise_multiplier", "give a number above 0 and at most 1e9");
  }
  CLOISTER_RETURN_IF_ERROR(CheckRounding(RoundingOf(p)));
  if (!(p.spacing <= p.noise_multiplier * p.clip_norm / 64)) {
    return Bad("spacing", "give a lattice of at most noise_multiplier * clip_norm / 64");
  }
  CLOISTER_ASSIGN_OR_RETURN(const double sensitivity, Sensitivity(matrix, p.participation));
  return p.noise_multiplier * sensitivity * (p.clip_norm / p.spacing) * BandedMatrix::kOne;
}

Event MakeEvent(const MatrixMechanism::Parameters& p, double sigma, std::int64_t steps) {
  Event event;
  event.noise_multiplier = EffectiveMultiplier(p.noise_multiplier, RoundingOf(p));
  event.sampling_rate = 1;
  event.steps = 1;
  event.neighbours = Neighbours::kZeroOut;
  event.delta_slack = static_cast<double>(steps) * static_cast<double>(p.dimension) *
                      LatticeSampler::TotalVariationBound(sigma);
  return event;
}

// What a state may be gone on with: two plans can need the same noise for sums of another scale.
security::Sha256Digest Purpose(const MatrixMechanism::Parameters& p) {
  const std::array<double, 3> scale = {p.noise_multiplier, p.clip_norm, p.spacing};
  const std::array<std::int64_t, 2> turns = {p.participation.max_participations,
                                             p.participation.min_separation};
  security::Sha256 hash;
  hash.Update("cloister matrix mechanism 1");
  hash.Update({reinterpret_cast<const std::uint8_t*>(scale.data()), sizeof scale});
  hash.Update({reinterpret_cast<const std::uint8_t*>(turns.data()), sizeof turns});
  return hash.Finish();
}

}  // namespace

MatrixMechanism::MatrixMechanism(const Parameters& parameters, CorrelatedNoise noise, double sigma,
                                 std::int64_t steps)
    : parameters_(parameters), noise_(std::move(noise)), sigma_(sigma), steps_(steps) {}

base::Result<MatrixMechanism> MatrixMechanism::Create(const Parameters& parameters,
                                                      const BandedMatrix& matrix,
                                                      security::AesCtrStream random) {
  CLOISTER_ASSIGN_OR_RETURN(const double sigma, SigmaOf(parameters, matrix));
  CLOISTER_ASSIGN_OR_RETURN(CorrelatedNoise noise,
                            CorrelatedNoise::Create(matrix, parameters.dimension, sigma,
                                                    std::move(random), Purpose(parameters)));
  return MatrixMechanism(parameters, std::move(noise), sigma, matrix.steps());
}

base::Result<MatrixMechanism> MatrixMechanism::Restore(
    const Parameters& parameters, const BandedMatrix& matrix, security::AesCtrStream random,
    std::span<const std::span<const std::uint8_t>> states, std::int64_t last_released) {
  CLOISTER_ASSIGN_OR_RETURN(const double sigma, SigmaOf(parameters, matrix));
  CLOISTER_ASSIGN_OR_RETURN(
      CorrelatedNoise noise,
      CorrelatedNoise::Restore(matrix, parameters.dimension, sigma, std::move(random), states,
                               Purpose(parameters)));
  if (noise.step() < last_released) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "noise state: it ends after step " + std::to_string(noise.step()) + " of " +
                          std::to_string(last_released) +
                          " that were released, and none may be executed again: restore the state "
                          "of the last one");
  }
  MatrixMechanism restored(parameters, std::move(noise), sigma, matrix.steps());
  restored.restored_ = true;
  return restored;
}

Event MatrixMechanism::event() const { return MakeEvent(parameters_, sigma_, steps_); }

base::Result<Event> MatrixMechanism::EventOf(const Parameters& parameters,
                                             const BandedMatrix& matrix) {
  CLOISTER_ASSIGN_OR_RETURN(const double sigma, SigmaOf(parameters, matrix));
  return MakeEvent(parameters, sigma, matrix.steps());
}

// A run that ended between its debit and its first row: RecordStep lets one copy alone of the state
// of before it use what was debited.
base::Status MatrixMechanism::PaidBefore(const Ledger& ledger, const std::string& data_set,
                                         const SpendKey& key, const base::Status& refused) const {
  if (!restored_ || refused.error().code != base::Code::kAlreadyExists) return refused;
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Ledger::Row> rows, ledger.RowsOfJob(key.job));
  const bool same = std::any_of(rows.begin(), rows.end(), [&](const Ledger::Row& row) {
    const SpendKey& other = row.spend.key;
    return row.data_set == data_set && other.round == key.round && other.attempt == key.attempt &&
           row.spend.event == event();
  });
  return same ? base::Status() : refused;
}

base::Result<NoisedSum> MatrixMechanism::Release(ClippedSum sum, Ledger& ledger,
                                                 const std::string& data_set, const SpendKey& key,
                                                 const Persist& persist) {
  CLOISTER_RETURN_IF_ERROR(CheckSum(sum, RoundingOf(parameters_)));
  LatticeSum points = Unnoised::TakePoints(std::move(sum));
  // A third of what no number of a row passes is nine deviations of it, or more.
  CLOISTER_RETURN_IF_ERROR(points.Reserve(noise_.largest() / 3));
  // The plan is paid for as a whole. A state of a later step was persisted after that.
  if (noise_.step() == 0) {
    const base::Status debited = ledger.Debit(data_set, Spend{key, event(), std::nullopt});
    if (!debited) CLOISTER_RETURN_IF_ERROR(PaidBefore(ledger, data_set, key, debited));
  }
  // The state before may have been persisted and not recorded.
  const std::array<StepMark, 2> follows = {noise_.mark(), noise_.recorded()};
  CLOISTER_RETURN_IF_ERROR(noise_.Advance());
  CLOISTER_RETURN_IF_ERROR(persist(noise_));
  // After the state, so that a crash between both leaves one that can go on.
  CLOISTER_RETURN_IF_ERROR(
      ledger.RecordStep(data_set, key.job, {noise_.step(), noise_.mark(), follows}));
  noise_.SetRecorded();
  points.Add(0, noise_.row());
  return NoisedSum(std::move(points), parameters_.spacing);
}

}  // namespace cloister::dp
